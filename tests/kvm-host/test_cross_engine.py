# SPDX-License-Identifier: GPL-2.0-or-later
"""One guest, two engines: saved under the software engine here, it goes on under KVM in the emulated host (kvmhost.py), is
saved there, goes on with the interrupt chips in that host's kernel, is saved, and goes on under the software engine here. It counts all the while, with a busy second CPU, and each step
is written to its disk and read back."""
import json
import os
import re
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import kvmhost  # noqa: E402
from kvmhost import console, initramfs  # noqa: E402

MICA = os.path.abspath(os.environ.get("MICA", os.path.join(kvmhost.TOP, "build/mica")))
SECONDS = float(os.environ.get("MICA_TEST_KVM_SECONDS", "300"))
LAST, DISK = 240, 2 << 20
STATE_AT, DISK_AT = 1, 64  # MiB on the disk by which the host hands the VM back

RUN = r"""
while read -r m; do insmod /modules/$m || echo "@host-insmod-failed $m"; done </modules/order
mkdir -p /tmp/w
cp /t/disk /tmp/w/disk
: >/tmp/w/out
timeout 60 mica run --restore /t/protected,trust=on --engine kvm --console none </dev/null 2>&1 | sed 's/^/@refused /'
leg() { # STATE IRQCHIP COUNTS: goes on from a state, and saves it again
	timeout 150 mica run --restore $1,trust=on --engine kvm --irqchip $2 --disk /tmp/w/disk --control /tmp/w/ctl --verbose </dev/null >>/tmp/w/out 2>&1 &
	vm=$!
	n=0
	while [ $(grep -c '@count' /tmp/w/out) -lt $3 ] && [ $n -lt 1000 ] && kill -0 $vm; do sleep 0.1; n=$((n + 1)); done
}
leg /t/state split 6
mica save --control /tmp/w/ctl --output /tmp/w/state --quit
echo "@save-split $?"
wait $vm
leg /tmp/w/state kernel 12
echo "@promise $(control /tmp/w/ctl promise)"
mica doctor --json | tr -d '\n' | sed 's/^/@doctor /'
echo
mica save --control /tmp/w/ctl --for /t/here --output /tmp/w/state --quit
echo "@save $?"
wait $vm
echo "@run $?"
sed 's/^@/@kvm-/' /tmp/w/out
dd if=/tmp/w/state of=/dev/vda bs=1M seek=@STATE_AT@ conv=fsync 2>/dev/null
dd if=/tmp/w/disk of=/dev/vda bs=1M seek=@DISK_AT@ conv=fsync 2>/dev/null
echo "@state $(stat -c %s /tmp/w/state) $(md5sum </tmp/w/state)"
"""


def counted(text):
    assert "@bad" not in text, text
    return [int(n) for n in re.findall(r"@(?:kvm-)?count (\d+)\r?\n", text)]


def save(tmp, name):
    r = subprocess.run([MICA, "save", "--control", f"{tmp}/ctl", "--output", f"{tmp}/{name}", "--quit"], capture_output=True,
                       text=True, timeout=kvmhost.patience.seconds(60))
    assert r.returncode == 0, r


def vendor():
    return re.search(r"vendor_id\s*: (\w+)", open("/proc/cpuinfo").read()).group(1)


def question(tmp, log):
    """Could the emulated host take it back?"""
    (tmp / "there").write_text(re.search(r"@doctor (\{.*\})\n", log).group(1))
    r = subprocess.run([MICA, "save", "--control", f"{tmp}/ctl", "--for", f"{tmp}/there", "--output", f"{tmp}/again"],
                       capture_output=True, text=True, timeout=kvmhost.patience.seconds(60))
    return r.stdout + r.stderr


@pytest.fixture(scope="module")
def journey(tmp_path_factory):
    """What the guest printed in each of its three places."""
    if vendor() != "AuthenticAMD":
        pytest.skip("the emulated host is an AMD, and guests tell the vendors apart: docs/save-restore.md")
    image, tmp = os.environ["IMAGE"], tmp_path_factory.mktemp("cross")
    (tmp / "disk").write_bytes(bytes(DISK))
    initrd = tmp / "initrd"
    initramfs.write(initrd, os.path.join(kvmhost.TOP, "tests/e2e/init"), os.path.join(image, "busybox"), os.path.join(image, "modules"))
    # mica-v3: see test_kvm_host.py; the emulated processor has no VME and no PCID.
    common = ["--engine", "soft", "--cpu", "mica-v3,-vme,-pcid,-invpcid", "--memory", "160M", "--kernel", f"{image}/vmlinuz", "--initrd", str(initrd),
              "--control", f"{tmp}/ctl", "--no-reboot"]
    # A guest in an emulated host gets no processor for half a minute when this machine is busy. That is no fault of the
    # guest's, and its kernel need not say so.
    quiet = "console=ttyS0 quiet panic=-1 nosoftlockup rcupdate.rcu_cpu_stall_suppress=1"
    with console.Machine([MICA, "run", *common, "--append", f"{quiet} idle=1"], stderr=subprocess.STDOUT) as vm:
        vm.expect("@idle", SECONDS)
        save(tmp, "protected")
        assert vm.wait(30) == 0, vm.tail()
    # The emulated host has no automatic IBRS, which the guest would use (docs/save-restore.md).
    with console.Machine([MICA, "run", *common, "--append", f"{quiet} spectre_v2=off count={LAST}", "--cpus", "2", "--disk",
                          f"{tmp}/disk"], stderr=subprocess.STDOUT) as vm:
        vm.expect(r"@count 6\r?\n", SECONDS)
        save(tmp, "state")
        assert vm.wait(30) == 0, vm.tail()
    logs = [vm.log]

    host = kvmhost.Host(image, str(tmp))
    for name in ("mica", "mica-vmm", "mica-net", "mica-slirp"):
        host.add_program("bin/" + name, os.path.join(os.path.dirname(MICA), name))
    for name in os.listdir(os.path.join(image, "modules")):
        host.add("modules/" + name, os.path.join(image, "modules", name))
    control = tmp / "control"
    subprocess.run(["cc", "-O1", "-o", control, os.path.join(HERE, "control.c")], check=True)
    host.add_program("bin/control", str(control))
    here = subprocess.run([MICA, "doctor", "--json"], capture_output=True, timeout=kvmhost.patience.seconds(30), check=True).stdout
    host.add("t/here", here)
    host.add("t/state", str(tmp / "state"))
    host.add("t/protected", str(tmp / "protected"))
    host.add("t/disk", str(tmp / "disk"))
    back = tmp / "back"
    with open(back, "wb") as f:
        f.truncate(80 << 20)
    script = RUN.replace("@STATE_AT@", str(STATE_AT)).replace("@DISK_AT@", str(DISK_AT))
    with host.boot(script, extra=("-drive", f"file={back},format=raw,if=none,id=back", "-device", "virtio-blk-pci,drive=back")) as machine:
        try:
            machine.expect(r"@host-done", SECONDS)
        except console.ConsoleError as e:
            print(e)
        log = machine.log.replace("\r", "")
    logs.append(log)
    match = re.search(r"@state (\d+) (\w+)", log)
    assert "@save 0" in log and match, re.sub(r"@kvm-count \d+\n", "", log)[-6000:]
    with open(back, "rb") as f:
        f.seek(STATE_AT << 20)
        (tmp / "state").write_bytes(f.read(int(match.group(1))))
        f.seek(DISK_AT << 20)
        (tmp / "disk").write_bytes(f.read(DISK))

    vm = console.Machine([MICA, "run", "--restore", f"{tmp}/state,trust=on", "--engine", "soft", "--disk", f"{tmp}/disk",
                          "--control", f"{tmp}/ctl"], stderr=subprocess.STDOUT)
    with vm:
        vm.expect(r"@count \d+\r?\n", SECONDS)
        logs.append(subprocess.run([control, f"{tmp}/ctl", "promise"], capture_output=True, text=True, timeout=kvmhost.patience.seconds(30)).stdout)
        logs.append(question(tmp, log))
        vm.expect(r"@done\r?\n", SECONDS)
        status = vm.wait(30)
    logs.insert(2, vm.log)
    assert status == 0, vm.tail()
    return logs


def test_each_engine_did_its_part(journey):
    assert "@save-split 0" in journey[1] and journey[1].count("engine: kvm (") == 2
    counts = [counted(log) for log in journey[:3]]
    assert len(counts[0]) >= 6 and len(counts[1]) >= 12 and len(counts[2]) >= 1


def test_no_step_is_lost_or_doubled(journey):
    assert sum((counted(log) for log in journey[:3]), []) == list(range(1, LAST + 1))


def test_the_guest_noticed_nothing(journey):
    """Nothing in the kernel's log about clocks, stalls, interrupts nobody wanted, or disks."""
    assert "@dmesg" not in journey[2], journey[2]
    assert "@clock" in journey[2]


def test_a_protection_that_the_other_host_lacks_is_named(journey):
    assert re.search("@refused mica: restore: vCPU 0: the guest uses automatic IBRS", journey[1])


def test_the_promise_is_kept(journey):
    """What KVM left of the CPU model is what the guest sees afterwards, under the software engine."""
    under_kvm = json.loads(re.search(r"@promise (.*)", journey[1]).group(1))["result"]
    assert json.loads(journey[3])["result"] == under_kvm


def test_who_can_take_it_is_known_before(journey):
    assert re.search("it can go on there, engine: .*soft", journey[1]), "from KVM to here"
    assert re.search("it can go on there, engine: kvm, soft", journey[4]), "and back: " + journey[4]
