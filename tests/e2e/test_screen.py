# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen of a guest: Debian's kernel on a VGA console, as a person sees it through clients that others wrote."""
import base64
import http.server
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

import bootdisk
import debian_kernel
import pytest
from conftest import BOOT, ENGINE, TOP, console, initramfs, patience
from test_firmware import needs_bios

sys.path.insert(0, os.path.join(TOP, "tests/machine"))
import png_picture  # noqa: E402
import rfb  # noqa: E402

GVNC = os.path.join(TOP, "tests/e2e/gvnc_type.py")
has_gvnc = subprocess.run(["/usr/bin/python3", "-c", "import gi; gi.require_version('GVnc', '1.0')"], stderr=subprocess.DEVNULL,
                          check=False).returncode == 0
needs_gvnc = pytest.mark.skipif(not (has_gvnc and shutil.which("gvnccapture")),
                                reason="the packages gvncviewer, gir1.2-gtk-vnc-2.0 and python3-gi are not installed")
BROWSER = shutil.which("chromium-headless-shell") or shutil.which("chromium")
NOVNC = "/usr/share/novnc"
needs_browser = pytest.mark.skipif(not (BROWSER and os.path.isdir(NOVNC)), reason="the packages chromium-headless-shell and novnc are not installed")
pytestmark = needs_bios


def free_port():
    """Where gvnccapture's displays are."""
    for port in range(5950, 6950):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)):
                return port
    raise RuntimeError("no port is free")


class Screen:
    """A VM with one, which VNC clients see."""
    def __init__(self, mica, folder, boot, more=""):
        self.mica, self.port, self.control, self.dir = mica, free_port(), str(folder / "control"), folder
        self.vm = console.Machine([mica, "run", *boot, "--engine", ENGINE, "--memory", "256M", "--display",
                                   f"vnc=127.0.0.1:{self.port}{more}", "--control", self.control], keep_errors=True, start_new_session=True)

    def text(self):
        return subprocess.run([self.mica, "screenshot", "--control", self.control, "--text"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True, check=False).stdout

    def expect(self, pattern, seconds):
        end = time.monotonic() + patience.seconds(seconds)
        while time.monotonic() < end:
            text = self.text()
            if re.search(pattern, text):
                return
            time.sleep(0.2)
        raise AssertionError(f"{pattern} is not on the screen:\n{text}")

    def picture(self):
        path = self.dir / "ours.png"
        subprocess.run([self.mica, "screenshot", "--control", self.control, str(path)], check=True)
        return png_picture.read(path)

    def seen(self):
        path = self.dir / "theirs.png"
        subprocess.run(["gvnccapture", "-q", f"127.0.0.1:{self.port - 5900}", str(path)], check=True, timeout=patience.seconds(30))
        return png_picture.read(path)

    def type(self, *keys, password=""):
        return subprocess.run(["/usr/bin/python3", GVNC, "127.0.0.1", str(self.port), password, *keys], stdout=subprocess.PIPE, text=True,
                              check=True, timeout=patience.seconds(90)).stdout.strip()

    def cpu_seconds(self):
        """Of mica-vmm and its mica-vnc."""
        def stat(pid):
            with open(f"/proc/{pid}/stat", encoding="ascii") as f:
                return f.read().rsplit(")", 1)[1].split()

        def below(pid):
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
                return [pid] + [p for child in f.read().split() for p in below(int(child))]
        return sum(int(n) for p in below(self.vm.process.pid) for n in stat(p)[11:13]) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def start(mica, tmp_path):
    """start(BOOT, MORE): a Screen, ended with the test."""
    started = []

    def one(boot, more=""):
        started.append(Screen(mica, tmp_path, boot, more))
        return started[-1]
    yield one
    for s in started:
        s.vm.close()


PAGE = """<!DOCTYPE html><body><script type="module">
import RFB from "./core/rfb.js";
const rfb = new RFB(document.body, "ws://127.0.0.1:%d/");
const tell = (path, body) => fetch(path, { method: "POST", body });
rfb.addEventListener("disconnect", (e) => tell("/end", "disconnected"));
rfb.addEventListener("connect", () => {
  for (const [sym, code] of [[0x7a, "KeyW"], [0x7a, "KeyE"], [0x7a, "KeyB"], [0x7a, "Enter"]])
    setTimeout(() => rfb.sendKey(sym, code), 1000);
  setInterval(() => tell("/picture", document.querySelector("canvas").toDataURL()), 1000);
});
</script>"""


class Web(http.server.SimpleHTTPRequestHandler):
    """noVNC and a page that uses it; what the page tells is put into server.told."""
    def __init__(self, *args):
        super().__init__(*args, directory=NOVNC)

    def do_GET(self):
        if self.path != "/":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write((PAGE % self.server.vnc_port).encode())

    def do_POST(self):
        self.server.told[self.path] = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def browser(screen, tmp_path):
    """What a browser tells that shows the screen by noVNC: libvncserver takes WebSockets on the same port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    server.vnc_port, server.told = screen.port, {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with subprocess.Popen([BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", f"--user-data-dir={tmp_path}/profile",
                           f"http://127.0.0.1:{server.server_port}/"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as p:
        yield server.told
        p.kill()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def screen(mica, image, tiny, tmp_path_factory):
    """Of a guest whose console is the screen, and which reads from the keyboard; it has said @ask."""
    folder, args = tmp_path_factory.mktemp("screen"), tiny("")
    files = {"vmlinuz": os.path.join(image, "vmlinuz"), "initrd": args[args.index("--initrd") + 1],
             "boot/grub/grub.cfg": bootdisk.config("console=tty0 quiet panic=-1 ask=1", "/vmlinuz", "/initrd").encode()}
    bootdisk.file_system(folder / "root.img", files, 24)
    bootdisk.bios(folder / "disk.img", folder / "root.img")
    s = Screen(mica, folder, ["--disk", str(folder / "disk.img")])
    s.vm.expect("@grub", BOOT)  # which is told to use the serial port; the BIOS is not, where there is a screen
    assert "SeaBIOS" not in s.vm.log
    s.expect(r"(?m)^@ask", BOOT)
    yield s
    s.vm.close()


def same_picture(theirs, ours, size=(720, 400)):
    """Asks both until they agree: the cursor blinks."""
    for _ in range(20):
        a, b = theirs(), ours()
        if a == b:
            break
    assert a[:2] == b[:2] == size
    assert a == b, sum(x != y for x, y in zip(a[2], b[2]))
    assert len(set(b[2])) > 1


@needs_gvnc
def test_gtk_vnc(screen):
    # Which key it is counts, not what is printed on it at the client's: h, i, Enter.
    assert screen.type("7a:23", "7a:17", "7a:1c") == "key codes"
    screen.expect(r"(?m)^@heard hi", 30)
    same_picture(screen.seen, screen.picture)


@needs_browser
def test_novnc(screen, browser, tmp_path):
    def seen():
        browser.pop("/picture", None)
        end = time.monotonic() + patience.seconds(60)
        while "/picture" not in browser and time.monotonic() < end:
            time.sleep(0.1)
        assert "/end" not in browser
        path = tmp_path / "seen.png"
        path.write_bytes(base64.b64decode(browser["/picture"].partition(",")[2]))
        return png_picture.read(path)
    screen.expect(r"(?m)^@heard web", 60)
    same_picture(seen, screen.picture)


def test_what_a_client_cut_is_typed_when_it_is_asked_for(screen):
    def paste():
        return subprocess.run([screen.mica, "type", "--control", screen.control, "--clipboard"], stderr=subprocess.PIPE, text=True, check=False)
    assert "no VNC client has cut a text" in paste().stderr
    client = rfb.Client(("127.0.0.1", screen.port))
    client.cut("Cut, then typed.\n")
    client.ask()
    client.update()
    assert paste().returncode == 0
    screen.expect(r"(?m)^@heard Cut, then typed\.", 60)
    client.close()


def test_a_client_of_an_idle_console_costs_nothing(screen):
    client = rfb.Client(("127.0.0.1", screen.port))
    client.ask()
    client.update()
    client.ask(incremental=True)
    time.sleep(1)
    before, begin = screen.cpu_seconds(), time.monotonic()
    time.sleep(6)
    used = (screen.cpu_seconds() - before) / (time.monotonic() - begin)
    client.close()
    print(f"idle with a client: {used:.2%} of a core")
    assert used < 0.03


def glyphs():
    """Characters by their 16 lines, of the font that SeaBIOS's video BIOS has; Linux's 8x16 differs in a few letters."""
    with open("/usr/share/seabios/vgabios-stdvga.bin", "rb") as f:
        rom = f.read()
    at = rom.index(bytes.fromhex("00007e81a58181bd9981817e00000000")) - 16
    return {rom[at + 16 * c:at + 16 * c + 16]: chr(c) for c in range(32, 127)}


def letters(picture, known):
    """What is written in a picture, cell by cell."""
    width, height, pixels = picture
    rows = []
    for top in range(0, height - 15, 16):
        cells = [bytes(sum((pixels[(top + y) * width + left + x] != 0) << (7 - x) for x in range(8)) for y in range(16))
                 for left in range(0, width, 8)]
        rows.append("".join(known.get(c, "?") for c in cells).rstrip())
    return "\n".join(rows)


@needs_gvnc
def test_a_graphical_console_of_a_kernel_without_firmware(start, image, tmp_path):
    """vesafb finds the mode that the command line asks the loader for, and draws its console there: others see the same, and it can be read."""
    kept = debian_kernel.fetch(image, tmp_path / "fetch")
    if not kept:
        pytest.skip("no package archive to fetch Debian's kernel from")
    s = start(["--kernel", os.path.join(kept, "vmlinuz"), "--append", "console=tty0 vga=0x344 quiet"])
    end, known, text = time.monotonic() + patience.seconds(BOOT), glyphs(), ""
    while "end Kernel panic" not in text and time.monotonic() < end:
        time.sleep(1)
        text = letters(s.picture(), known) if os.path.exists(s.control) else ""
    assert re.search(r"Kernel panic - not syncing: .FS: Unable to .ount root .s on unkno.n-block", text), text
    same_picture(s.seen, s.picture, (1024, 768))


@needs_gvnc
def test_virtio_gpu(start, image, tmp_path):
    """Linux's driver puts its console there; it types, others see the same picture, and its size follows a client's."""
    kept = debian_kernel.fetch(image, tmp_path / "fetch")
    if not kept:
        pytest.skip("no package archive to fetch Debian's kernel from")

    def read(path):
        with open(os.path.join(kept, path), "rb") as f:
            return f.read()
    debian_kernel.modules_of(read, ["virtio_pci", "virtio_gpu"], tmp_path / "modules")
    initramfs.write(tmp_path / "initrd", os.path.join(TOP, "tests/e2e/init"), os.path.join(image, "busybox"), tmp_path / "modules")
    s = start(["--kernel", os.path.join(kept, "vmlinuz"), "--initrd", str(tmp_path / "initrd"), "--append",
               "console=tty0 quiet ask=1"], ",screen=virtio")
    known = glyphs()

    def expect(pattern, size):
        end, picture, text = time.monotonic() + patience.seconds(BOOT), (0, 0), ""
        while not (re.search(pattern, text) and picture[:2] == size) and time.monotonic() < end:
            time.sleep(1)
            if os.path.exists(s.control):
                picture = s.picture()
                text = letters(picture, known)
        assert re.search(pattern, text) and picture[:2] == size, (picture[:2], text)
    expect(r"(?m)^@ask", (1024, 768))
    assert s.type("7a:23", "7a:17", "7a:1c") == "key codes"
    expect(r"(?m)^@heard hi", (1024, 768))
    same_picture(s.seen, s.picture, (1024, 768))
    client = rfb.Client(("127.0.0.1", s.port), sizes=True)
    client.ask()
    client.update()
    client.resize(800, 600)
    expect(r"(?m)^@heard hi", (800, 600))
    while client.width != 800:
        client.ask(incremental=True)
        client.update()
    assert (client.height, client.size_answer) == (600, 0)
    client.close()


@needs_gvnc
def test_a_password_is_asked_for(start, screen, tmp_path):
    (tmp_path / "password").write_text("geheim\n")
    shutil.copyfile(screen.dir / "disk.img", tmp_path / "disk.img")
    s = start(["--disk", str(tmp_path / "disk.img")], f",password-file={tmp_path}/password")
    s.expect("SeaBIOS", BOOT)
    assert "password check failed" in s.type("61:1e", password="falsch")
    assert s.type("61:1e", password="geheim") == "key codes"
