# SPDX-License-Identifier: GPL-2.0-or-later
"""bench/engine: its workloads compute the same in the guest as on the host. Short: this is about results, not times."""
import json
import os
import subprocess

import pytest
from conftest import BOOT, ENGINE, TOP


def bench(mica, image, tmp_path, *arguments):
    """Runs it; returns (what is in its JSON file, its output)."""
    if subprocess.run(["unshare", *(["--user", "--map-root-user"] if os.geteuid() else []), "--mount", "true"],
                      stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this host gives no mount namespace")
    # A build folder of the test's own for what the bench builds and finds; compile takes long and is gcc's own affair.
    for name in ("mica", "mica-vmm", "mica-net", "mica-slirp"):
        os.symlink(os.path.join(os.path.dirname(mica), name), tmp_path / name)
    done = subprocess.run([os.path.join(TOP, "bench", "engine"), "--build", str(tmp_path), "--image", image, "--sides", "native,mica",
                           "--rounds", "1", "--seconds", "0.004", "--limit", str(BOOT), *arguments],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    name = "engine-32.json" if "--bits" in arguments else "engine.json"
    with open(tmp_path / "bench" / name, encoding="utf-8") as f:
        result = json.load(f)
    # Its clock check is for quiet machines.
    wrong = [p for p in result["problems"] if "by its clock" not in p]
    assert not wrong, "\n".join(wrong)
    assert all(len(w["seconds"]["mica"]) == 1 for w in result["work"].values()), done.stdout
    return result, done.stdout


@pytest.mark.skipif(ENGINE != "soft", reason="the bench is of the software engine")
def test_workloads_agree(mica, image, tmp_path):
    result, shown = bench(mica, image, tmp_path, "--only", "^(?!further/compile|boot)")
    assert len(result["work"]) > 30, shown


@pytest.mark.skipif(ENGINE != "soft", reason="the bench is of the software engine")
def test_32_bit_workloads_agree(mica, image, tmp_path):
    """32-bit code in the guest against 64-bit code on the host."""
    if subprocess.run(["gcc", "-m32", "-static", "-xc", "-", "-o", "/dev/null"], input="int main(void){return 0;}", text=True,
                      stderr=subprocess.DEVNULL).returncode:
        pytest.skip("gcc makes no static 32-bit programs here (libc6-dev-i386)")
    result, shown = bench(mica, image, tmp_path, "--bits", "32")
    assert len(result["work"]) > 30, shown
