#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""gvnc_type.py - types by gtk-vnc's client library, as its viewers do:

    gvnc_type.py HOST PORT PASSWORD KEYSYM:KEYCODE...

Each is pressed and let go of. Says "keys" or "key codes", whichever it could send, or "refused". Debian's python3 has its bindings."""
import sys

import gi
gi.require_version("GVnc", "1.0")
from gi.repository import GLib, GVnc  # noqa: E402


def main():
    host, port, password, *keys = sys.argv[1:]
    loop, said = GLib.MainLoop(), []

    def end(word):
        said.append(word)
        loop.quit()

    def credential(c, wanted):
        c.set_credential(GVnc.ConnectionCredential.PASSWORD, password)

    def ready(c):
        c.set_encodings([GVnc.ConnectionEncoding.EXT_KEY_EVENT, GVnc.ConnectionEncoding.TIGHT, GVnc.ConnectionEncoding.RAW])
        GLib.timeout_add(300, type_keys, c)  # it answers to the encodings

    def type_keys(c):
        for key in keys:
            sym, code = (int(n, 16) for n in key.split(":"))
            c.key_event(True, sym, code)
            c.key_event(False, sym, code)
        GLib.timeout_add(300, end, "key codes" if c.get_ext_key_event() else "keys")

    connection = GVnc.Connection()
    connection.connect("vnc-auth-credential", credential)
    connection.connect("vnc-auth-choose-type", lambda c, types: c.set_auth_type(2 if password else 1))
    connection.connect("vnc-initialized", ready)
    connection.connect("vnc-auth-failure", lambda c, *why: end("refused"))
    connection.connect("vnc-disconnected", lambda c: end("disconnected"))
    connection.connect("vnc-error", lambda c, why: end("error: " + why))
    GLib.timeout_add_seconds(60, end, "no answer")
    connection.open_host(host, port)
    loop.run()
    print(said[0])


main()
