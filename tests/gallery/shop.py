# SPDX-License-Identifier: GPL-2.0-or-later
"""shop.py - where the gallery's systems come from: Debian packages, unpacked and not installed, and media made of them.

All is kept under the image cache: packages/NAME.ARCH (unpacked), media/NAME-KEY (made once; the key is a hash of what makes it). A
package's version is whatever Debian 12 has now; what was fetched stays until the cache is removed.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(TOP, "tools"), os.path.join(TOP, "tests", "compat")]
import tree  # noqa: E402

PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"


class ShopError(Exception):
    """What could not be had or made, and why."""


class Shop:
    def __init__(self, cache, say):
        self.cache, self.say = os.path.join(os.path.abspath(cache), "gallery"), say
        self.log = os.path.join(self.cache, "log")
        self.image = tree.mkimage()
        self.updated = False
        for part in ("packages", "media", "apt"):
            os.makedirs(os.path.join(self.cache, part), exist_ok=True)

    def call(self, argv, what, cwd=None, **env):
        with open(self.log, "ab") as f:
            status = subprocess.run(argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.STDOUT, env=dict(os.environ, PATH=PATH, LC_ALL="C.UTF-8", **env)).returncode
        if status:
            with open(self.log, encoding="utf-8", errors="replace") as f:
                raise ShopError(f"{what} failed (status {status}): " + " | ".join(line.strip() for line in f.readlines()[-4:]))

    # ---- packages ----

    def apt(self):
        """apt's options for lists of our own, of both architectures, from where this host gets its packages."""
        top = os.path.join(self.cache, "apt")
        options = {"Dir::State": top, "Dir::State::status": os.path.join(top, "status"), "Dir::Cache": os.path.join(top, "cache"),
                   "Dir::Etc::sourcelist": os.path.join(top, "sources.list"), "Dir::Etc::sourceparts": "-", "APT::Architecture": "amd64",
                   "APT::Sandbox::User": "", "Acquire::Languages": "none"}
        argv = [w for key, value in options.items() for w in ("-o", f"{key}={value}")] + ["-o", "APT::Architectures::=amd64", "-o", "APT::Architectures::=i386"]
        # Lists of half a day ago will do: what they name is still there.
        stamp = os.path.join(top, "updated")
        self.updated |= os.path.exists(stamp) and time.time() - os.stat(stamp).st_mtime < 12 * 3600
        if not self.updated:
            for folder in ("lists/partial", "cache/archives/partial"):
                os.makedirs(os.path.join(top, folder), exist_ok=True)
            # The kernels of i386 are those of the release; mirrors of its security archive are not always whole.
            lines = [re.sub("^deb ", "deb [arch=amd64] ", line) if "-security" in line else line for line in self.image.host_sources()]
            for name, text in (("status", ""), ("sources.list", "".join(line + "\n" for line in lines))):
                with open(os.path.join(top, name), "w", encoding="utf-8") as f:
                    f.write(text)
            self.say("reading Debian's package lists")
            self.call(["apt-get", "-q", *argv, "update"], "apt-get update")
            self.updated = True
            with open(stamp, "w", encoding="utf-8"):
                pass
        return argv

    def package(self, name, arch="amd64"):
        """The folder that the package was unpacked to. A name that ends in ... is that of the first package whose name begins so and goes on
        as a kernel's version does."""
        final = os.path.join(self.cache, "packages", f"{name.rstrip('.')}.{arch}")
        if not os.path.isdir(final):
            if name.endswith("..."):
                out = subprocess.run(["apt-cache", *self.apt(), "depends", name[:-3] + ":" + arch], stdout=subprocess.PIPE, text=True, check=False).stdout
                found = re.search(r"Depends: (linux-image-\d\S*?)(:\S+)?\n", out)
                if not found:
                    raise ShopError(f"{name}: no kernel among what it depends on")
                name = found.group(1)
            self.say(f"fetching {name} ({arch})")
            work = final + ".new"
            shutil.rmtree(work, ignore_errors=True)
            os.makedirs(work + "/deb")
            self.call(["apt-get", "-q", *self.apt(), "download", f"{name}:{arch}"], f"fetching {name}", cwd=work + "/deb")
            (deb,) = os.listdir(work + "/deb")
            self.call(["dpkg-deb", "-x", os.path.join(work, "deb", deb), work], f"unpacking {name}")
            with open(os.path.join(work, ".version"), "w", encoding="utf-8") as f:
                f.write(deb.split("_")[1].replace("%3a", ":"))
            shutil.rmtree(work + "/deb")
            os.rename(work, final)
        return final

    def file(self, name, path, arch="amd64"):
        found = os.path.join(self.package(name, arch), path)
        if not os.path.exists(found):
            raise ShopError(f"the package {name} has no {path}")
        return found

    # ---- media ----

    def media(self, name, make, *args):
        """The path of what make(target, shop, *args) makes; where it has been made by the same module of the same, it is taken."""
        sources = [sys.modules[make.__module__].__file__, *glob.glob(os.path.join(HERE, "src", "*"))]
        key = tree.digest(repr((make.__name__, args)), *(tree.read(p) for p in sorted(sources)))[:10]
        final = os.path.join(self.cache, "media", f"{name}-{key}")
        if not os.path.exists(final):
            self.say(f"making {name}")
            work = os.path.join(self.cache, "media", ".new-" + name)
            if os.path.exists(work):
                os.unlink(work)
            make(work, self, *args)
            for old in glob.glob(os.path.join(self.cache, "media", glob.escape(name) + "-??????????")):
                os.unlink(old)
            os.rename(work, final)
        return final
