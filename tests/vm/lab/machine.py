# SPDX-License-Identifier: LGPL-2.1-or-later
"""One virtual machine: QEMU's command line, its control socket (QMP), hot-plug, and root commands inside the guest.

The machine is a q35 with an Intel IOMMU, boots without a disk if it is not one of disk_image.py's, and touches nothing of the machine
it runs on.
"""

import atexit
import base64
import collections
import contextlib
import ctypes
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid

from . import archive, build, emulator
from .command import PATIENCE, WAIT, words_of
from .console import Console
from .errors import CommandFailed, CommandTimeout, LabError, MachineDead
from .qmp import Qmp

CMDLINE = ("console=ttyS0 intel_iommu=on tsc=unstable mitigations=off systemd.show_status=0 "
           "loglevel=5 log_buf_len=4M panic=-1 net.ifnames=0 no_timer_check "
           # Code that is emulated stays translated only where it is at the same address in each process: with random
           # addresses each start of a program costs four times as much.
           "norandmaps cryptomgr.notests "
           # An emulated CPU now and then takes an interrupt between the two instructions by which it goes to sleep until
           # there is one. With ticks also while it is idle it sleeps for a tick too long, and not for ever.
           "nohz=off "
           # A guest that does not answer any more is asked by an NMI what each CPU and task does: see lost.autopsy().
           "unknown_nmi_panic panic_print=0x41")

# Five-level page tables are slow to walk in software. What is said to copy fast (ERMS: kernel and C library then copy and
# clear by `rep movsb`) is emulated a byte at a time: without it a boot costs a sixth less, starting programs a third.
EMULATED_CPU = "max,la57=off,-erms,-fsrm"

# Memory at fixed places of the file: a page of zeros takes no room and no time, and a file stays as small as what the guest uses.
MAPPED_RAM = {"capability": "mapped-ram", "state": True}

# A disk of nothing. What is written goes to a temporary file of QEMU's.
NULL_DRIVE = "file.driver=null-co,file.size=67108864,file.read-zeroes=on,snapshot=on"

COUNT_PCI = "ls /sys/bus/pci/devices | wc -l"

Result = collections.namedtuple("Result", "rc out")


def link(target):
    """For files={}: a symbolic link."""
    return ("link", target)


def program(name, *libraries):
    """For files={}: a program of tests/vm/programs, compiled for the guest; see build.program()."""
    return ("program", name, *libraries)


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _kvm_boots(kernel, seconds=15):
    """Whether the guest's kernel says hello under KVM. An openable /dev/kvm alone proves nothing (nested machines)."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    command = [*emulator.command(), "-M", "q35,kernel-irqchip=split", "-accel", "kvm", "-cpu", "host", "-m", "256M", "-nodefaults",
               "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", kernel,
               "-append", "console=ttyS0 panic=-1 earlyprintk=ttyS0"]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             preexec_fn=_die_with_parent)
    timer = threading.Timer(seconds, child.kill)
    timer.start()
    try:
        # Without a root file system the kernel panics after all its drivers: that far it must come.
        seen = False
        for line in child.stdout:
            seen = seen or b"Linux version" in line
            if seen and b"Kernel panic - not syncing: VFS" in line:
                return True
        return False
    finally:
        timer.cancel()
        child.kill()
        child.wait()
        child.stdout.close()


def accelerator(kernel):
    """"kvm" or "tcg"; probed once per run and handed to child processes by the environment."""
    wanted = os.environ.get("DRIVER_OVERRIDES_LAB_ACCEL")
    if wanted not in ("kvm", "tcg"):
        wanted = "kvm" if _kvm_boots(kernel) else "tcg"
        os.environ["DRIVER_OVERRIDES_LAB_ACCEL"] = wanted
    return wanted


class Job:
    """A command that runs in the guest; wait() gives its Result."""

    def __init__(self, machine, ident, command):
        self.machine, self.ident, self.command = machine, ident, command

    def done(self):
        return self.ident in self.machine.answers

    def wait(self, timeout=PATIENCE):
        machine = self.machine
        deadline = time.monotonic() + timeout
        with machine.condition:
            while self.ident not in machine.answers:
                if machine.closed:
                    raise MachineDead("the guest is gone\n" + machine.console.tail())
                left = deadline - time.monotonic()
                if left <= 0:
                    raise CommandTimeout(f"no end after {timeout} s: {self.command}\n" + machine.console.tail())
                machine.condition.wait(left)
            result = machine.answers.pop(self.ident)
        machine.note(f"[{result.rc}] {self.command}\n{result.out}")
        return result


class Machine:
    """A guest that runs between start() and stop(); also a context manager."""

    def __init__(self, image, log_dir=None, name="vm"):
        self.image = image
        self.guest = image.guest
        self.name = name
        self.work = tempfile.mkdtemp(prefix="driver-overrides-vm-")
        self.log_dir = log_dir or self.work
        os.makedirs(self.log_dir, exist_ok=True)
        self.qmp_path, self.port_path = os.path.join(self.work, "qmp"), os.path.join(self.work, "port")
        self.console = Console(os.path.join(self.log_dir, f"{name}.console"))
        self.transcript = open(os.path.join(self.log_dir, f"{name}.shell"), "w", encoding="utf-8")
        self.child = self.control = self.port = None
        self.condition = threading.Condition()
        self.answers = {}
        self.hello = self.closed = False
        self.started = 0.0
        atexit.register(self.stop)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # Start and stop

    def start(self, cpus=2, memory="2G", cmdline="", devices=(), qemu=(), packed=False, overlays=(), files=None,
              timeout=240):
        """Boots, and returns when the shell in the guest answers. devices: QEMU -device strings, present from the
        beginning. qemu: any further arguments. packed: with the kernel as it is packed, for a machine that is to be suspended:
        QEMU writes an unpacked one anew over the old one when it wakes up. overlays: archives unpacked over the base. files: path
        in the guest -> content, (content, mode), link(target) or program(name). An image that has a disk takes neither of these
        two: they are on it."""
        initrd = self.image.initrd or self._initrd(overlays, files or {})
        self._launch([*self._command(cpus, memory, cmdline, devices, qemu, packed), "-initrd", initrd])
        return self._wait_for_hello(timeout)

    def _wait_for_hello(self, timeout):
        with self.condition:
            if not self.condition.wait_for(lambda: self.hello or self.closed, timeout) or not self.hello:
                raise MachineDead("the guest did not come up\n" + self.qemu_errors() + self.console.tail())
        return self

    def reset(self, timeout=600):
        """Presses the reset button, and returns when the shell in the guest answers again. What is on its disk stays."""
        self.qmp("set-action", reboot="reset")  # QEMU was started so that a guest that reboots by itself ends
        self.hello, _ = False, self.qmp("system_reset")
        return self._wait_for_hello(timeout)

    def save(self, path, timeout=120):
        """Writes the machine as it is now to a file, and lets it go on. QEMU cannot save an nvme device."""
        self.qmp("stop")
        try:
            self.qmp("migrate-set-capabilities", capabilities=[MAPPED_RAM])
            self.qmp("migrate", uri=f"file:{path}")
            self._migrated(timeout)
        finally:
            self.qmp("cont")

    def restore(self, path, cpus=2, memory="2G", cmdline="", devices=(), qemu=(), packed=False, timeout=60):
        """Goes on where save() has left a machine that was started with the same settings; the guest's clocks go on, too."""
        self._launch([*self._command(cpus, memory, cmdline, devices, qemu, packed), "-incoming", "defer"])
        self.qmp("migrate-set-capabilities", capabilities=[MAPPED_RAM])
        self.qmp("migrate-incoming", uri=f"file:{path}")
        self._migrated(timeout)
        self.qmp("cont")
        self.hello = True  # said before it was saved
        self.run("true", timeout)
        return self

    def _migrated(self, timeout):
        deadline = time.monotonic() + timeout
        while (status := self.qmp("query-migrate")).get("status") != "completed":
            if status.get("status") == "failed" or time.monotonic() > deadline:
                raise LabError(f"migration: {status.get('error-desc') or status.get('status')}")
            time.sleep(0.02)

    def _command(self, cpus, memory, cmdline, devices, qemu, packed):
        """QEMU's command line but for where the guest's system comes from."""
        accel = accelerator(self.image.kernel)
        command = [
            # Interrupt remapping needs the split irqchip under KVM; emulation does not mind.
            *emulator.command(), "-M", "q35,kernel-irqchip=split", "-smp", str(cpus), "-m", str(memory),
            "-accel", "kvm" if accel == "kvm" else "tcg,thread=multi",
            "-cpu", "host" if accel == "kvm" else EMULATED_CPU,
            "-display", "none", "-nodefaults", "-no-reboot", "-no-user-config",
            "-kernel", self.image.packed if packed else self.image.kernel, "-append", f"{CMDLINE} {self.image.cmdline} {cmdline}".strip(),
            "-chardev", f"file,id=console,path={self.console.path}", "-serial", "chardev:console",
            "-chardev", f"socket,id=qmp,path={self.qmp_path},server=on,wait=off", "-mon", "chardev=qmp,mode=control",
            "-device", "intel-iommu,intremap=on",
            "-audiodev", "none,id=silence",  # for sound cards, which QEMU does not make without one
            "-device", "virtio-serial-pci,id=labserial,bus=pcie.0,addr=1e.0",
            "-chardev", f"socket,id=port,path={self.port_path},server=on,wait=off",
            "-device", "virtserialport,bus=labserial.0,nr=1,chardev=port,name=lab",
            # Of QEMU's own, not to be seen in the guest: an NVMe device that makes virtual functions belongs to one, and
            # it cannot be plugged.
            "-device", "nvme-subsys,id=sub0",
        ]
        for number in range(5):  # for hot-plug: rp0 to rp4, 0000:00:10.0 to 0000:00:14.0
            command += ["-device", f"pcie-root-port,id=rp{number},bus=pcie.0,addr={0x10 + number:x}.0,"
                                   f"chassis={number + 1},slot={number + 1}"
                                   # Room for a graphics card's memory, which the firmware would only give to one at boot.
                                   + (",pref64-reserve=64M" if number == 0 else "")]
        for device in devices:
            command += ["-device", device]
        return [*command, *self.image.qemu, *qemu]

    def _launch(self, command):
        """Starts QEMU, and connects its control socket and the port to the guest."""
        self.note("# " + " ".join(command))
        self.started = time.monotonic()
        with open(os.path.join(self.log_dir, f"{self.name}.qemu"), "wb") as errors:
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                                          cwd=self.work, preexec_fn=_die_with_parent)
        self.control = self._connect(self.qmp_path, Qmp)
        self.port = self._connect(self.port_path, self._open_port)
        threading.Thread(target=self._listen, daemon=True).start()

    @staticmethod
    def _open_port(path):
        port = socket.socket(socket.AF_UNIX)
        port.connect(path)
        return port

    def _connect(self, path, kind):
        deadline = time.monotonic() + 20
        while True:
            try:
                return kind(path)
            except (FileNotFoundError, ConnectionRefusedError):
                if self.child.poll() is not None or time.monotonic() > deadline:
                    raise MachineDead("QEMU did not start\n" + self.qemu_errors()) from None
                time.sleep(0.05)

    def _initrd(self, overlays, files):
        """The base and what comes over it, as one file."""
        small = os.path.join(self.work, "files.cpio")
        with archive.Writer(small) as out:
            out.parents("usr/lib/lab/agent")
            out.file("usr/lib/lab/agent", build.program("agent"), 0o755)
            for path, what in files.items():
                out.parents(path)
                if isinstance(what, tuple) and what[0] == "link":
                    out.symlink(path, what[1])
                elif isinstance(what, tuple) and what[0] == "program":
                    out.file(path, build.program(*what[1:]), 0o755)
                elif isinstance(what, tuple):
                    out.file(path, what[0], what[1])
                else:
                    out.file(path, what)
        joined = os.path.join(self.work, "initrd")
        with open(joined, "wb") as target:
            for part in [self.image.base, *overlays, small]:
                with open(part, "rb") as source:
                    shutil.copyfileobj(source, target, 1 << 20)
        return joined

    def cpu_seconds(self):
        """What the machine has cost so far."""
        with open(f"/proc/{self.child.pid}/stat", encoding="utf-8") as stream:
            fields = stream.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        """Ends QEMU, hard: nothing in the guest is worth saving. May be called twice."""
        atexit.unregister(self.stop)
        if self.child:
            self.child.kill()
            self.child.wait()
        with contextlib.suppress(OSError):
            if self.port:
                self.port.close()
            if self.control:
                self.control.socket.close()
        with self.condition:
            self.closed = True
            self.condition.notify_all()
        if not self.transcript.closed:
            self.transcript.close()
        shutil.rmtree(self.work, ignore_errors=True)

    # Commands in the guest

    def _listen(self):
        buffer = b""
        while True:
            try:
                block = self.port.recv(1 << 20)
            except OSError:
                block = b""
            with self.condition:
                if not block:
                    self.closed = True
                    self.condition.notify_all()
                    return
                buffer += block
                buffer = self._answers(buffer)
                self.condition.notify_all()

    def _answers(self, buffer):
        """Takes what is whole: "ID STATUS LENGTH", a newline, the output. The rest of the buffer."""
        while True:
            head, newline, rest = buffer.partition(b"\n")
            fields = head.decode("ascii", "replace").split(" ")
            if not newline or len(rest) < int(fields[2]):
                return buffer
            out, buffer = rest[:int(fields[2])], rest[int(fields[2]):]
            if fields[0] == "hello":
                self.hello = True
            else:
                self.answers[fields[0]] = Result(int(fields[1]), out.decode("utf-8", "replace"))

    def spawn(self, command):
        """Starts a script in the guest, or one command (a list of words), and returns a Job at once. Jobs run side by side."""
        ident = uuid.uuid4().hex[:12]
        if self.closed:
            raise MachineDead("the guest is gone\n" + self.console.tail())
        words = words_of(command)
        script = "\0".join(["", *words, ""]) if words else command
        command = shlex.join(command) if words is command else command
        script = script.encode("utf-8", "surrogateescape")
        try:
            self.port.sendall(f"{ident} {len(script)}\n".encode() + script)
        except OSError as error:
            raise MachineDead(f"the guest is gone ({error})\n" + self.console.tail()) from error
        return Job(self, ident, command)

    def run(self, command, timeout=PATIENCE, check=True):
        """Runs a script (`bash -e`, any number of lines) or one command (a list of words: that costs half as much) as root; its
        Result has rc and out (stdout and stderr).
        check: a status other than 0 raises CommandFailed."""
        result = self.spawn(command).wait(timeout)
        if check and result.rc:
            last = (result.out.strip().splitlines() or ["no output"])[-1]
            raise CommandFailed(f"status {result.rc}, {last}: {command}\n{result.out}")
        return result

    def out(self, command, timeout=PATIENCE):
        """The output of a command that must succeed, without surrounding blanks."""
        return self.run(command, timeout).out.strip()

    def wait_for(self, command, timeout=PATIENCE, interval=0.2):
        """Repeats a command until it succeeds; its output. Raises CommandTimeout with the last output. One script in the guest
        does that: starting a shell for each look would keep the guest from what is waited for."""
        result = self.run(WAIT.format(command=command, timeout=int(timeout), interval=interval), timeout + 30, check=False)
        if result.rc:
            raise CommandTimeout(f"not so after {timeout} s: {command}\n{result.out}")
        return result.out.strip()

    def driver(self, device, bus="pci"):
        """The name of the driver a device is bound to, or an empty string. Fails when there is no such device."""
        folder = f"/sys/bus/{bus}/devices/{device}"
        found = self.run(["readlink", f"{folder}/driver"], check=False)
        if found.rc:
            self.run(["exists", folder])
        return os.path.basename(found.out.strip())

    def write(self, path, content, mode=0o644):
        """Writes a file in the running guest."""
        data = content if isinstance(content, bytes) else content.encode()
        if b"\0" not in data:
            text = data.decode("utf-8", "surrogateescape")
            if self.run(["write", f"{mode:o}", path, text], check=False).rc == 0:
                return
        folder = shlex.quote(os.path.dirname(path) or ".")
        if b"\0" in data:  # no text of a shell's
            written = f"base64 -d >'{path}' <<'END'\n{base64.b64encode(data).decode()}\nEND"
        else:
            written = f"printf %s {shlex.quote(data.decode('utf-8', 'surrogateescape'))} >'{path}'"
        # With a time of its own a policy file counts at once: the lab is faster than the 200 ms of driver-overrides.d(5).
        self.run(f"[ -d {folder} ] || mkdir -p {folder}\n{written}\nchmod {mode:o} '{path}'\n"
                 f"touch -d \"$(date +'%F %T.%N')\" '{path}'")

    def place(self, path, what):
        """Puts into the running guest what start(files={path: what}) puts into one that boots: whole, or not yet."""
        if isinstance(what, tuple) and what[0] == "link":
            self.run(f"ln -sf {shlex.quote(what[1])} {shlex.quote(path)}")
            return
        content, mode = what, 0o644
        if isinstance(what, tuple):
            content, mode = (build.program(*what[1:]), 0o755) if what[0] == "program" else what
        # Beside its folder: who watches the folder sees one file come, with all that is in it.
        folder = os.path.dirname(path)
        new = os.path.join(os.path.dirname(folder), ".lab-new")
        self.write(new, content, mode)
        self.run(f"mkdir -p {shlex.quote(folder)}; mv {shlex.quote(new)} {shlex.quote(path)}")

    def boot_settled(self, timeout=240):
        """Waits until systemd has no job left and udev no event; systemd's word for it ("running", "degraded" if a unit failed)."""
        word, deadline = "", time.monotonic() + timeout
        while word in ("", "initializing", "starting"):
            assert time.monotonic() < deadline, f"the boot is not over after {timeout} s: {word}\n" + self.console.tail()
            time.sleep(1)
            # A systemctl that asked early in a boot has been seen not to return, with --wait and without, long after it was over.
            try:
                word = self.run(["systemctl", "is-system-running"], 20, check=False).out.strip()
            except CommandTimeout:
                self.run("ps -eo pid,ppid,stat,wchan:30,args; cat /proc/1/stack", 30, check=False)
        # After that: the coldplug has been asked for by then, and before it the queue would be empty, too.
        self.run(f"udevadm settle --timeout={timeout}", timeout + 5)
        return word

    # Devices

    def qmp(self, name, **arguments):
        return self.control.command(name, **arguments)

    def device_add(self, driver, **properties):
        """device_add("e1000e", id="n0", bus="rp0"). Properties with a dash: **{"x-y": ...}."""
        self.qmp("device_add", driver=driver, **{k: v for k, v in properties.items() if v is not None})

    def monitor(self, command):
        """A command of QEMU's monitor for people, where what is wanted is written as on QEMU's command line."""
        answer = self.qmp("human-monitor-command", **{"command-line": command}).strip()
        if answer not in ("", "OK"):
            raise LabError(f"{command}: {answer}")

    def plug_in(self, devices, drives=()):
        """Plugs QEMU -device strings, one when udev has dealt with the one before; drives: ids for empty disks. In a
        slot with several functions, function 0 comes last: with function 0 the kernel looks at the slot."""
        for ident in drives:
            self.monitor(f"drive_add 0 if=none,id={ident},{NULL_DRIVE}")
        there = int(self.out(COUNT_PCI))
        for device in devices:
            self.monitor(f"device_add {device}")
            if device.startswith("nvme-ns,"):
                continue
            there += 1
            if not re.search(r"\baddr=0\.[1-7]", device):
                self.wait_for(f"[ $({COUNT_PCI}) -ge {there} ]", interval=0.05)
                self.run("udevadm settle --timeout=60", 70)

    def device_del(self, ident, timeout=PATIENCE):
        """Asks the guest to give a device up, and waits until it has and the id is free. A request that comes while
        the slot's controller is still busy with a plug is lost, so it is repeated."""
        deadline = time.monotonic() + timeout
        asked = 0.0
        while time.monotonic() < deadline:
            if time.monotonic() - asked > 15:
                asked = time.monotonic()
                try:
                    self.qmp("device_del", id=ident)
                except LabError as error:
                    if "already in the process" not in str(error):
                        raise
            if self.control.wait_event(lambda e: e["event"] == "DEVICE_DELETED" and e["data"].get("device") == ident, 1):
                return
        raise LabError(f"device {ident} was not given up in {timeout} s\n" + self.console.tail())

    # Logs

    def note(self, text):
        if not self.transcript.closed:
            self.transcript.write(f"{time.monotonic() - (self.started or time.monotonic()):8.2f} {text}\n")
            self.transcript.flush()

    def qemu_errors(self):
        with contextlib.suppress(OSError):
            with open(os.path.join(self.log_dir, f"{self.name}.qemu"), encoding="utf-8", errors="replace") as stream:
                return stream.read()
        return ""

    def kernel_log(self):
        """The kernel's log: the full one from the guest, else what the console got of it."""
        try:
            return self.run("dmesg", 30).out
        except LabError:
            return self.console.text()
