#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks on servers, as the VM's process has them (netdisk_io), against servers that others wrote and such as misbehave."""
import http.server
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools"))
import patience  # noqa: E402

IO = os.environ["NETDISK_IO"]
LIMIT = patience.seconds(30)
MIB = 1 << 20


RAMP = bytes(range(256)) * 4


def content(off, n, seed):
    """As netdisk_io writes it: whole sectors."""
    return b"".join(RAMP[(at // 512 * 7 + seed) & 255:][:512] for at in range(off, off + n, 512))


def checksum(data):
    return f"{zlib.adler32(data):08x}"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Disk:
    """netdisk_io at work."""

    def __init__(self, url, mode="rw", *options):
        self.p = subprocess.Popen([IO, url, mode, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        self.first = self.p.stdout.readline().strip()

    def send(self, line):
        self.p.stdin.write(line + "\n")
        self.p.stdin.flush()

    def answer(self):
        return self.p.stdout.readline().split()

    def ask(self, line):
        self.send(line)
        return self.answer()

    def close(self):
        """What it said on standard error."""
        if self.p.poll() is None:
            self.p.stdin.close()
        try:
            self.p.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.p.kill()
            raise
        err = self.p.stderr.read()
        for f in (self.p.stdin, self.p.stdout, self.p.stderr):
            f.close()
        return err


class Base(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="mica-netdisk-")
        self.addCleanup(shutil.rmtree, self.dir)

    def disk(self, url, mode="rw", *options):
        d = Disk(url, mode, *options)
        self.addCleanup(lambda: d.p.stdin.closed or d.close())
        return d

    def image(self, data, name="disk.img"):
        path = os.path.join(self.dir, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def spawn(self, argv, **kw):
        p = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **kw)
        self.addCleanup(lambda: p.poll() is None and (p.kill(), p.wait()))
        return p


@unittest.skipUnless(shutil.which("nbdkit"), "nbdkit is not installed")
class Nbd(Base):
    def serve(self, *args, port=None, sock=None):
        where = ["-U", sock] if sock else ["-i", "127.0.0.1", "-p", str(port)]
        if sock and os.path.exists(sock):
            os.unlink(sock)
        p = self.spawn(["nbdkit", "-f", *where, *args])
        until = time.monotonic() + LIMIT
        while time.monotonic() < until:
            with socket.socket(socket.AF_UNIX if sock else socket.AF_INET) as s:
                try:
                    s.connect(sock or ("127.0.0.1", port))
                    return p
                except OSError:
                    time.sleep(0.02)
        self.fail("nbdkit does not start")

    def test_everything_over_a_unix_socket(self):
        path = self.image(content(0, 4 * MIB, 3))
        sock = os.path.join(self.dir, "s")
        self.serve("file", path, sock=sock)
        d = self.disk(f"nbd+unix:///?socket={sock}")
        self.assertEqual(d.first, f"open {4 * MIB}")
        self.assertEqual(d.ask("read 0 1048576"), ["0:" + checksum(content(0, MIB, 3)), "ok"])
        self.assertEqual(d.ask("write 512 700416 9;flush"), ["0", "0", "ok"])
        self.assertEqual(d.ask("read 0 524288;zero 1048576 65536;discard 2097152 65536"),
                         ["0:" + checksum(content(0, 512, 3) + content(512, 523776, 9)), "0", "0", "ok"])
        # More than there are slots, all at a time.
        line = ";".join(f"write {i * 4096} 4096 {i % 7}" for i in range(120))
        self.assertEqual(d.ask(line), ["0"] * 120 + ["ok"])
        self.assertEqual(d.close(), "")
        with open(path, "rb") as f:
            data = f.read()
        for i in range(120):
            self.assertEqual(data[i * 4096:(i + 1) * 4096], content(i * 4096, 4096, i % 7))
        self.assertEqual(data[MIB:MIB + 65536], bytes(65536))

    def test_a_name_is_looked_up(self):
        port = free_port()
        self.serve("memory", "1M", port=port)
        self.assertEqual(self.disk(f"nbd://localhost:{port}/").first, f"open {MIB}")

    def test_errors_when_it_is_opened(self):
        port = free_port()
        self.assertIn("Connection refused", self.disk(f"nbd://127.0.0.1:{port}/").first)
        self.assertIn("no.such.host.invalid", self.disk("nbd://no.such.host.invalid/").first)
        self.assertIn("No such file", self.disk("nbd+unix:///?socket=/nonexistent/s").first)
        self.serve("-r", "memory", "1M", port=port)
        self.assertIn("can only be read", self.disk(f"nbd://127.0.0.1:{port}/").first)
        self.assertEqual(self.disk(f"nbd://127.0.0.1:{port}/", "ro").first, f"open {MIB}")
        for options, said in (["on-error=stop"], "write pause or report"), (["timeout=0"], "write 1 to"), \
                (["tls-ca=/x"], "no TLS"), (["cow=1"], "has no option 'cow'"), (["format=qcow2"], "only raw"):
            self.assertIn(said, self.disk(f"nbd://127.0.0.1:{port}/", "ro", *options).first)

    def test_another_format_is_not_taken_for_raw(self):
        sock = os.path.join(self.dir, "s")
        self.serve("file", self.image(b"QFI\xfb" + bytes(65532)), sock=sock)
        self.assertIn("looks like qcow2", self.disk(f"nbd+unix:///?socket={sock}").first)
        self.assertEqual(self.disk(f"nbd+unix:///?socket={sock}", "rw", "format=raw").first, "open 65536")

    def test_errors_of_the_server_are_the_guests(self):
        sock = os.path.join(self.dir, "s")
        self.serve("--filter=error", "memory", "1M", "error-pwrite=ENOSPC", "error-pwrite-rate=100%", sock=sock)
        d = self.disk(f"nbd+unix:///?socket={sock}")
        self.assertEqual(d.ask("write 0 4096 1;read 0 4096"), ["-28", "0:" + checksum(bytes(4096)), "ok"])

    def test_the_guest_waits_for_a_server_that_comes_back(self):
        path = self.image(bytes(MIB))
        sock = os.path.join(self.dir, "s")
        p = self.serve("file", path, sock=sock)
        d = self.disk(f"nbd+unix:///?socket={sock}")
        # Acknowledged, not flushed; and the server has lost it when it comes back.
        self.assertEqual(d.ask("write 0 8192 5;zero 16384 4096;write 4096 4096 6"), ["0", "0", "0", "ok"])
        p.kill()
        p.wait()
        self.image(b"\xff" * MIB)
        d.send("read 0 8192;write 65536 512 7;flush;read 16384 4096")
        time.sleep(0.6)
        self.serve("file", path, sock=sock)
        now = content(0, 4096, 5) + content(4096, 4096, 6)
        got = d.answer()
        # The two writes were under way at the same time: either may be the last.
        self.assertIn(got[0], ("0:" + checksum(now), "0:" + checksum(content(0, 8192, 5))))
        self.assertEqual(got[1:], ["0", "0", "0:" + checksum(bytes(4096)), "ok"])
        said = d.close()
        self.assertIn("the connection is lost", said)
        self.assertIn("connected again", said)
        with open(path, "rb") as f:
            data = f.read()
        self.assertEqual(data[:4096], now[:4096])
        self.assertEqual(data[65536:66048], content(65536, 512, 7))

    def test_what_was_flushed_is_not_written_again(self):
        path = self.image(bytes(MIB))
        sock = os.path.join(self.dir, "s")
        p = self.serve("file", path, sock=sock)
        d = self.disk(f"nbd+unix:///?socket={sock}")
        self.assertEqual(d.ask("write 0 8192 5"), ["0", "ok"])
        self.assertEqual(d.ask("flush"), ["0", "ok"])
        p.kill()
        p.wait()
        self.image(b"\xff" * MIB)
        self.serve("file", path, sock=sock)
        self.assertEqual(d.ask("read 0 8192"), ["0:" + checksum(b"\xff" * 8192), "ok"])

    def test_more_unflushed_than_is_kept(self):
        """The process flushes by itself, and goes on."""
        sock = os.path.join(self.dir, "s")
        self.serve("memory", "48M", sock=sock)
        d = self.disk(f"nbd+unix:///?socket={sock}")
        for i in range(5):
            line = ";".join(f"write {(i * 8 + k) * MIB} {MIB} 1" for k in range(8))
            self.assertEqual(d.ask(line), ["0"] * 8 + ["ok"])

    def test_errors_after_a_time_when_that_is_wanted(self):
        sock = os.path.join(self.dir, "s")
        p = self.serve("memory", "1M", sock=sock)
        d = self.disk(f"nbd+unix:///?socket={sock}", "rw", "on-error=report", "timeout=1")
        p.kill()
        p.wait()
        start = time.monotonic()
        self.assertEqual(d.ask("write 0 4096 1"), ["-5", "reconnecting"])
        self.assertGreater(time.monotonic() - start, 0.5)
        self.assertEqual(d.ask("read 0 4096"), ["-5", "reconnecting"])

    def test_another_disk_is_not_taken(self):
        sock = os.path.join(self.dir, "s")
        p = self.serve("memory", "1M", sock=sock)
        d = self.disk(f"nbd+unix:///?socket={sock}", "rw", "on-error=report", "timeout=1")
        p.kill()
        p.wait()
        self.serve("memory", "2M", sock=sock)
        self.assertEqual(d.ask("read 0 4096"), ["-5", "reconnecting"])

    def test_cancel_ends_what_waits(self):
        sock = os.path.join(self.dir, "s")
        p = self.serve("memory", "1M", sock=sock)
        d = self.disk(f"nbd+unix:///?socket={sock}")
        p.kill()
        p.wait()
        self.assertEqual(d.ask("write 0 4096 1;read 0 4096;wait 100;cancel"), ["-125", "-125", "reconnecting"])
        self.serve("memory", "1M", sock=sock)
        self.assertEqual(d.ask("read 0 4096"), ["0:" + checksum(bytes(4096)), "ok"])
        d.close()

    def test_a_cancelled_write_lands_before_the_next_one(self):
        sock = os.path.join(self.dir, "s")
        self.serve("--filter=delay", "memory", "1M", "delay-write=300ms", sock=sock)
        d = self.disk(f"nbd+unix:///?socket={sock}")
        self.assertEqual(d.ask("write 0 4096 1;wait 50;cancel"), ["-125", "ok"])
        self.assertEqual(d.ask("write 0 4096 2"), ["0", "ok"])
        self.assertEqual(d.ask("read 0 4096"), ["0:" + checksum(content(0, 4096, 2)), "ok"])

    def test_a_server_that_stalls(self):
        """It takes connections and answers nothing more; later another is there."""
        sock = os.path.join(self.dir, "s")
        p = self.serve("memory", "1M", sock=sock)
        d = self.disk(f"nbd+unix:///?socket={sock}", "rw", "timeout=1")
        p.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, p.pid, os.WSTOPPED | os.WNOWAIT)
        d.send("read 0 4096")
        time.sleep(1.3)
        p.kill()
        p.wait()
        self.serve("memory", "1M", sock=sock)
        self.assertEqual(d.answer(), ["0:" + checksum(bytes(4096)), "ok"])
        self.assertIn("does not answer", d.close())

    def test_its_process_ends(self):
        sock = os.path.join(self.dir, "s")
        self.serve("memory", "1M", sock=sock)
        d = self.disk(f"nbd+unix:///?socket={sock}")
        for pid in children(d.p.pid):
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(d.ask("read 0 4096;write 0 4096 1"), ["-5", "-5", "failed"])
        self.assertIn("has ended", d.close())

    def test_tls(self):
        if not shutil.which("certtool"):
            self.skipTest("certtool (gnutls-bin) is not installed")
        certificates(self.dir)
        port = free_port()
        self.serve("--tls=require", f"--tls-certificates={self.dir}", "memory", "1M", port=port)
        ca = os.path.join(self.dir, "ca-cert.pem")
        d = self.disk(f"nbds://localhost:{port}/", "rw", f"tls-ca={ca}")
        self.assertEqual(d.first, f"open {MIB}")
        self.assertEqual(d.ask("write 0 65536 1;flush"), ["0", "0", "ok"])
        self.assertEqual(d.ask("read 0 65536"), ["0:" + checksum(content(0, 65536, 1)), "ok"])
        self.assertIn("error", self.disk(f"nbds://127.0.0.2:{port}/", "rw", f"tls-ca={ca}").first)
        self.assertIn("error", self.disk(f"nbds://localhost:{port}/").first)  # nobody of this host's trusts it

    def test_hostile_servers(self):
        """Each is a clear error, soon."""
        magic = b"NBDMAGICIHAVEOPT"
        reply = struct.pack(">Q", 0x3e889045565a9)
        for name, sent in {"nonsense": b"HTTP/1.0 400 Bad Request\r\n\r\n", "ends": b"",
                           "other magic": b"NBDMAGIC" + bytes(16),
                           "huge option": magic + b"\0\3" + reply + struct.pack(">III", 7, 3, 0xffffffff),
                           "other option": magic + b"\0\3" + reply + struct.pack(">III", 99, 1, 0),
                           "silence": None}.items():
            with self.subTest(name), Liar(sent) as port:
                start = time.monotonic()
                self.assertIn("error", self.disk(f"nbd://127.0.0.1:{port}/", "rw", "timeout=1").first)
                self.assertLess(time.monotonic() - start, LIMIT)


class Web:
    """A web server with one image, which can be made to misbehave."""

    def __init__(self, data, tls=None):
        self.data, self.etag, self.modified = data, '"1"', None
        self.how, self.to, self.asked, self.auth = "", None, [], []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                web.answer(self)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(os.path.join(tls, "server-cert.pem"), os.path.join(tls, "server-key.pem"))
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, r):
        self.asked.append(r.headers.get("Range"))
        self.auth.append(r.headers.get("Authorization"))
        if self.how == "stall":
            time.sleep(60)
        if self.to:
            r.send_response(302)
            r.send_header("Location", self.to)
            r.send_header("Content-Length", "0")
            r.end_headers()
            return
        status, a, b = 206, *map(int, r.headers["Range"][6:].split("-"))
        body = self.data[a:b + 1]
        if self.how == "status":
            status, body = 503, b""
        elif self.how == "no ranges":
            status, body = 200, self.data
        elif r.headers.get("If-Match", self.etag) != self.etag:
            status, body = 412, b""
        r.send_response(status)
        if status == 206:
            r.send_header("Content-Range", self.how if self.how.startswith("bytes") else f"bytes {a}-{b}/{len(self.data)}")
        if self.etag:
            r.send_header("ETag", self.etag)
        if self.modified:
            r.send_header("Last-Modified", self.modified)
        if self.how == "too much":
            body += b"x" * 100000
        r.send_header("Content-Length", str(len(body)))
        r.end_headers()
        try:
            r.wfile.write(body[:len(body) // 2] if self.how == "half" else body)
        except OSError:
            pass
        if self.how == "half":
            r.close_connection = True

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Http(Base):
    def web(self, data, tls=None):
        w = Web(data, tls)
        self.addCleanup(w.close)
        return w, f"{'https://localhost' if tls else 'http://127.0.0.1'}:{w.port}/disk.img"

    def test_read_by_parts(self):
        data = content(0, MIB, 4) + b"end"
        w, url = self.web(data)
        self.assertIn("can only be read", self.disk(url).first)
        d = self.disk(url, "ro")
        self.assertEqual(d.first, f"open {MIB + 512}")
        self.assertEqual(d.ask("read 512 700416;read 0 512"),
                         ["0:" + checksum(data[512:700928]), "0:" + checksum(data[:512]), "ok"])
        self.assertEqual(d.ask(f"read {MIB - 512} 1024"), ["0:" + checksum(data[MIB - 512:] + bytes(509)), "ok"])
        line = ";".join(f"read {i * 8192} 8192" for i in range(100))
        self.assertEqual(d.ask(line), ["0:" + checksum(data[i * 8192:(i + 1) * 8192]) for i in range(100)] + ["ok"])

    def test_servers_that_cannot_be_used(self):
        w, url = self.web(content(0, MIB, 4))
        for how, said in ("no ranges", "does not serve parts"), ("status", "HTTP 503"), \
                ("bytes 5-5/1048576", "other bytes"), ("bytes 0-0/99999999999999999999999", "other bytes"), \
                ("too much", "other bytes"), ("stall", "not answer"):
            with self.subTest(how):
                w.how = how
                first = self.disk(url, "ro", "timeout=1").first
                self.assertTrue(first.startswith("error"), first)
                self.assertIn(said, first)

    def test_redirections(self):
        data = content(0, MIB, 4)
        w, url = self.web(data)
        v, other = self.web(b"")
        v.to = url
        self.assertEqual(self.disk(other, "ro").ask("read 0 4096"), ["0:" + checksum(data[:4096]), "ok"])
        v.to = other
        self.assertIn("on and on", self.disk(other, "ro").first)
        v.to = "file:///etc/passwd"
        self.assertIn("none for us", self.disk(other, "ro").first)

    def test_a_file_that_changes_ends_the_disk(self):
        for etag, modified in ('"1"', None), (None, "Mon, 30 Nov 2026 10:00:00 GMT"):
            with self.subTest(etag):
                w, url = self.web(content(0, MIB, 4))
                w.etag, w.modified = etag, modified
                d = self.disk(url, "ro")
                self.assertEqual(d.ask("read 0 4096")[1], "ok")
                w.data = content(0, MIB, 5)
                w.etag, w.modified = etag and '"2"', modified and "Mon, 30 Nov 2026 11:00:00 GMT"
                self.assertEqual(d.ask("read 0 4096"), ["-5", "failed"])
                self.assertEqual(d.ask("read 4096 4096"), ["-5", "failed"])
                self.assertIn("another one now", d.close())

    def test_trouble_passes(self):
        data = content(0, MIB, 4)
        w, url = self.web(data)
        d = self.disk(url, "ro", "timeout=2")
        for how in "status", "half", "too much", "bytes 0-9/1048576":
            with self.subTest(how):
                w.how = how
                d.send("read 0 65536")
                time.sleep(0.4)
                w.how = ""
                self.assertEqual(d.answer(), ["0:" + checksum(data[:65536]), "ok"])

    def test_a_cache(self):
        data = content(0, 2 * MIB, 4) + b"end"
        cache = os.path.join(self.dir, "cache")
        w, url = self.web(data)
        whole = f"read 0 {2 * MIB + 512}"
        got = ["0:" + checksum(data + bytes(509)), "ok"]
        d = self.disk(url, "ro", f"cache={cache}")
        self.assertEqual(d.ask(whole), got)
        self.assertEqual(d.ask("wait 6500;" + whole), got)
        d.close()
        n = len(w.asked)
        self.assertEqual(self.disk(url, "ro", f"cache={cache}").ask(whole), got)
        self.assertEqual(len(w.asked), n + 1)  # which version it is
        # Of another version nothing is used.
        w.data, w.etag = content(0, 2 * MIB, 5) + b"END", '"2"'
        got = ["0:" + checksum(w.data + bytes(509)), "ok"]
        self.assertEqual(self.disk(url, "ro", f"cache={cache}").ask(whole), got)
        # Two at a time have a file each; what is in the folder besides stays.
        self.assertEqual(self.disk(url, "ro", f"cache={cache}").ask(whole), got)
        self.assertIn("500M or 8G", self.disk(url, "ro", f"cache={cache}", "cache-size=1M").first)

    def test_a_cache_that_is_full(self):
        data = content(0, 40 * MIB, 4)
        cache = os.path.join(self.dir, "cache")
        w, url = self.web(data)
        d = self.disk(url, "ro", f"cache={cache}", "cache-size=16M")
        for _ in range(2):
            for at in range(0, 40, 8):
                self.assertEqual(d.ask(f"read {at * MIB} {8 * MIB}"),
                                 ["0:" + checksum(data[at * MIB:(at + 8) * MIB]), "ok"])
        used = sum(os.stat(os.path.join(cache, f)).st_blocks * 512 for f in os.listdir(cache))
        self.assertLess(used, 18 * MIB)

    @unittest.skipUnless(shutil.which("certtool"), "certtool (gnutls-bin) is not installed")
    def test_tls_and_a_password(self):
        certificates(self.dir)
        data = content(0, MIB, 4)
        w, url = self.web(data, tls=self.dir)
        with open(os.path.join(self.dir, "password"), "w") as f:
            f.write("secret\n")
        me = ["user=me", f"password-file={self.dir}/password", f"tls-ca={self.dir}/ca-cert.pem"]
        d = self.disk(url, "ro", *me)
        self.assertEqual(d.ask("read 0 65536"), ["0:" + checksum(data[:65536]), "ok"])
        self.assertEqual(set(w.auth), {"Basic bWU6c2VjcmV0"})
        self.assertTrue(self.disk(url, "ro").first.startswith("error"))  # whom this host trusts did not sign it
        # The password goes to no other place, and nothing from https to http.
        v, other = self.web(data, tls=self.dir)
        w.to = other
        self.assertEqual(self.disk(url, "ro", *me).first, f"open {MIB}")
        self.assertEqual(set(v.auth), {None})
        u, plain = self.web(data)
        w.to = plain
        self.assertIn("none for us", self.disk(url, "ro", *me).first)
        self.assertIn("everybody to read", self.disk(plain, "ro", *me[:2]).first)


@unittest.skipUnless(shutil.which("tgtd", path="/usr/sbin:/sbin") and os.geteuid() == 0, "tgtd (tgt) needs root")
class Iscsi(Base):
    NAME = "iqn.2026-11.localhost:test"

    def target(self, path, port, user=None):
        env = {**os.environ, "PATH": "/usr/sbin:/sbin:" + os.environ["PATH"]}
        number = str(100 + port % 900)  # of the control socket, not a port
        os.makedirs("/var/run/tgtd", exist_ok=True)
        p = self.spawn(["tgtd", "-f", "-C", number, "--iscsi", f"portal=127.0.0.1:{port}"], env=env)
        base = ["tgtadm", "-C", number, "--lld", "iscsi", "--op"]
        commands = [["new", "--mode", "target", "--tid", "1", "-T", self.NAME],
                    ["new", "--mode", "logicalunit", "--tid", "1", "--lun", "1", "-b", path],
                    ["bind", "--mode", "target", "--tid", "1", "-I", "ALL"]]
        if user:
            commands += [["new", "--mode", "account", "--user", user, "--password", "secretsecret"],
                         ["bind", "--mode", "account", "--tid", "1", "--user", user]]
        until = time.monotonic() + LIMIT
        for c in commands:
            while subprocess.run(base + c, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
                if time.monotonic() > until:
                    self.skipTest("tgtd does not run here")
                time.sleep(0.05)
        return p

    def test_everything(self):
        data = content(0, 4 * MIB, 3)
        path, port = self.image(data), free_port()
        p = self.target(path, port)
        url = f"iscsi://127.0.0.1:{port}/{self.NAME}"
        self.assertTrue(self.disk(f"{url}/7").first.startswith("error"))
        d = self.disk(f"{url}/1")
        self.assertEqual(d.first, f"open {4 * MIB}")
        self.assertEqual(d.ask("read 0 1048576"), ["0:" + checksum(data[:MIB]), "ok"])
        self.assertEqual(d.ask("write 512 700416 9;flush"), ["0", "0", "ok"])
        self.assertEqual(d.ask("read 512 700416;zero 1048576 65536;discard 2097152 65536"),
                         ["0:" + checksum(content(512, 700416, 9)), "0", "0", "ok"])
        line = ";".join(f"write {i * 4096} 4096 {i % 7}" for i in range(120))
        self.assertEqual(d.ask(line), ["0"] * 120 + ["ok"])
        p.kill()
        p.wait()
        d.send("read 0 4096;write 8192 4096 8;flush")
        time.sleep(0.3)
        self.target(path, port)
        self.assertEqual(d.answer(), ["0:" + checksum(content(0, 4096, 0)), "0", "0", "ok"])
        self.assertIn("connected again", d.close())
        with open(path, "rb") as f:
            got = f.read()
        self.assertEqual(got[8192:12288], content(8192, 4096, 8))
        self.assertEqual(got[MIB:MIB + 65536], bytes(65536))

    def test_a_password(self):
        port = free_port()
        self.target(self.image(bytes(MIB)), port, "me")
        url = f"iscsi://127.0.0.1:{port}/{self.NAME}/1"
        for text, ok in ("secretsecret\n", True), ("wrongwrong12\n", False):
            with open(os.path.join(self.dir, "password"), "w") as f:
                f.write(text)
            first = self.disk(url, "rw", "user=me", f"password-file={self.dir}/password").first
            self.assertEqual(first == f"open {MIB}", ok, first)
        self.assertTrue(self.disk(url).first.startswith("error"))


class Liar:
    """Sends these bytes to whoever connects, and closes; None: nothing, and does not."""

    def __init__(self, sent):
        self.sent, self.s, self.kept = sent, socket.socket(), []

    def run(self):
        try:
            while True:
                c, _ = self.s.accept()
                if self.sent is None:
                    self.kept.append(c)
                    continue
                c.sendall(self.sent)
                c.settimeout(0.2)
                try:
                    while c.recv(4096):
                        pass
                except OSError:
                    pass
                c.close()
        except OSError:
            pass

    def __enter__(self):
        self.s.bind(("127.0.0.1", 0))
        self.s.listen(8)
        threading.Thread(target=self.run, daemon=True).start()
        return self.s.getsockname()[1]

    def __exit__(self, *_):
        self.s.shutdown(socket.SHUT_RDWR)
        self.s.close()
        for c in self.kept:
            c.close()


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(x) for x in f.read().split()]


def certificates(where):
    """ca-cert.pem, server-cert.pem and server-key.pem, for localhost."""
    def tool(*args):
        subprocess.run(["certtool", *args], check=True, cwd=where, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(os.path.join(where, "ca.info"), "w") as f:
        f.write("cn = Test\nca\ncert_signing_key\nexpiration_days = 10\n")
    with open(os.path.join(where, "server.info"), "w") as f:
        f.write("cn = localhost\ndns_name = localhost\ntls_www_server\nencryption_key\nsigning_key\nexpiration_days = 10\n")
    for who in "ca", "server":
        tool("--generate-privkey", "--key-type=ecdsa", "--outfile", f"{who}-key.pem")
    tool("--generate-self-signed", "--load-privkey", "ca-key.pem", "--template", "ca.info", "--outfile", "ca-cert.pem")
    tool("--generate-certificate", "--load-privkey", "server-key.pem", "--load-ca-certificate", "ca-cert.pem",
         "--load-ca-privkey", "ca-key.pem", "--template", "server.info", "--outfile", "server-cert.pem")


if __name__ == "__main__":
    unittest.main()
