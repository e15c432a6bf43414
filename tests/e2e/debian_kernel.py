# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernel for all hardware and its modules: fetched once and kept beside the image. The image's own kernel has
drivers for virtual machines only."""
import glob
import os
import re
import shutil
import subprocess


def modules_of(read, names, target):
    """read(path below /lib/modules/VERSION): bytes. Copies the modules and what they need, as mkimage does."""
    deps = {}
    for line in read("modules.dep").decode().splitlines():
        name, _, rest = line.partition(":")
        deps[name] = rest.split()
    by_name = {os.path.basename(p).split(".")[0].replace("-", "_"): p for p in deps}
    order = []

    def add(path):
        for dep in deps[path]:
            add(dep)
        if path not in order:
            order.append(path)
    for name in names:
        if name in by_name:  # else it is part of the kernel
            add(by_name[name])
    os.mkdir(target)
    for path in order:
        with open(os.path.join(target, os.path.basename(path)), "wb") as f:
            f.write(read(path))
    with open(os.path.join(target, "order"), "w", encoding="ascii") as f:
        f.write("".join(os.path.basename(p) + "\n" for p in order))


def fetch(image, work):
    """The folder with `vmlinuz` and the modules, as below /lib/modules/VERSION; None: there is no package archive."""
    kept = os.path.join(os.path.dirname(os.path.abspath(image)), "linux-image-amd64")
    if os.path.isdir(kept):
        return kept
    work.mkdir()
    depends = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], stdout=subprocess.PIPE, text=True, check=False).stdout
    package = re.search(r"Depends: (linux-image-\S+)", depends)
    if not package or subprocess.run(["apt-get", "-q", "download", package.group(1)], cwd=work, check=False,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        return None
    subprocess.run(["dpkg-deb", "-x", glob.glob(f"{work}/*.deb")[0], work / "tree"], check=True)
    base = glob.glob(f"{work}/tree/lib/modules/*")[0]
    # Without depmod's list the packages' own words say what a module needs.
    paths = {os.path.basename(p)[:-3].replace("-", "_"): os.path.relpath(p, base)
             for p in glob.glob(f"{base}/kernel/**/*.ko", recursive=True)}
    with open(os.path.join(base, "modules.dep"), "w", encoding="ascii") as out:
        for path in paths.values():
            with open(os.path.join(base, path), "rb") as f:
                needs = re.search(rb"\0depends=([^\0]*)\0", f.read())
            names = [n for n in needs.group(1).decode().split(",") if n] if needs else []
            out.write(f"{path}: {' '.join(paths[n.replace('-', '_')] for n in names if n.replace('-', '_') in paths)}\n")
    os.rename(glob.glob(f"{work}/tree/boot/vmlinuz-*")[0], os.path.join(base, "vmlinuz"))
    shutil.move(base, kept + ".new")
    os.rename(kept + ".new", kept)
    return kept
