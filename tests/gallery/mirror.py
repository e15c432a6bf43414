# SPDX-License-Identifier: GPL-2.0-or-later
"""mirror.py - what a guest fetches from the host, at 10.0.2.2: Debian's archive, each file from the cache once it has been asked for, and the
answers for an installation that asks nobody. It listens on loopback."""
import http.server
import os
import shutil
import threading
import urllib.request

PRESEED = """d-i debian-installer/locale string en_US
d-i keyboard-configuration/xkb-keymap select us
d-i netcfg/choose_interface select auto
d-i netcfg/get_hostname string installed
d-i netcfg/get_domain string
d-i mirror/country string manual
d-i mirror/protocol string http
d-i mirror/http/hostname string 10.0.2.2:{port}
d-i mirror/http/directory string /debian
d-i mirror/http/proxy string
d-i passwd/make-user boolean false
d-i passwd/root-password password mica
d-i passwd/root-password-again password mica
d-i clock-setup/utc boolean true
d-i clock-setup/ntp boolean false
d-i time/zone string UTC
d-i partman-auto/method string regular
d-i partman-auto/choose_recipe select atomic
d-i partman-partitioning/confirm_write_new_label boolean true
d-i partman/choose_partition select finish
d-i partman/confirm boolean true
d-i partman/confirm_nooverwrite boolean true
d-i base-installer/install-recommends boolean false
d-i apt-setup/services-select multiselect
d-i apt-setup/cdrom/set-first boolean false
tasksel tasksel/first multiselect
d-i pkgsel/upgrade select none
popularity-contest popularity-contest/participate boolean false
d-i grub-installer/only_debian boolean true
d-i grub-installer/bootdev string default
d-i debian-installer/add-kernel-opts string console=ttyS0
d-i finish-install/reboot_in_progress note
d-i debian-installer/exit/poweroff boolean true
"""


class Mirror:
    """up: the archive's address, as http://deb.debian.org/debian."""

    def __init__(self, cache, up):
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                mirror.answer(self, True)

            def do_HEAD(self):
                mirror.answer(self, False)

            def log_message(self, *_):
                pass
        self.cache, self.up = cache, up.rstrip("/")
        self.lock = threading.Lock()
        self.missing = ""  # a package that was asked for and that the archive has not
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request, whole):
        name = os.path.normpath(request.path.split("?")[0])
        if name == "/preseed.cfg":
            data = PRESEED.format(port=self.port).encode()
        else:
            data = self.file(name) if name.startswith("/debian/") else None
        request.send_response(200 if data is not None else 404)
        request.send_header("Content-Length", str(len(data or b"")))
        request.end_headers()
        if whole and data:
            request.wfile.write(data)

    def file(self, name):
        """Bytes of a file of the archive, or None. What changes (dists) is fetched anew in each run."""
        path = os.path.join(self.cache, name.strip("/"))
        with self.lock:
            if not os.path.exists(path) or name.startswith("/debian/dists/"):
                os.makedirs(os.path.dirname(path), exist_ok=True)
                try:
                    with urllib.request.urlopen(self.up + name[len("/debian"):], timeout=60) as source, open(path + ".new", "wb") as out:
                        shutil.copyfileobj(source, out)
                    os.rename(path + ".new", path)
                except OSError:
                    if name.startswith("/debian/pool/"):
                        self.missing = name
                    return None
        with open(path, "rb") as f:
            return f.read()
