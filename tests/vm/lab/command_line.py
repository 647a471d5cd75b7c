# SPDX-License-Identifier: LGPL-2.1-or-later
"""What scenarios about overridectl type, as root, as a user, and over ssh."""

import collections
import os
import subprocess

USER = "somebody"
BUILD = "DRIVER_OVERRIDES_LAB_BUILD"  # in the environment: the build directory whose installation is in the guest

Answer = collections.namedtuple("Answer", "status out err")

# All in one script: starting a shell for each would take longer than what is started.
CALL = """call() {
    rc=0
    "$@" >/run/lab/out 2>/run/lab/err </dev/null || rc=$?
    printf '%s\\035%s\\035%s\\036' $rc "$(</run/lab/out)" "$(</run/lab/err)"
}
"""


def calls(vm, lines, options="", user=None, timeout=240):
    """overridectl with the words of each line in turn; a list of Answer."""
    if user:
        make_user(vm)
    before = f"setpriv --reuid={user} --regid={user} --init-groups env HOME=/home/{user} " if user else ""
    script = "".join(f"call {before}overridectl {options} {line}\n" for line in lines)
    parts = vm.run(CALL + script, timeout).out.split("\036")[:-1]
    answers = [Answer(int(part.split("\035")[0]), *part.split("\035")[1:]) for part in parts]
    assert len(answers) == len(lines), (lines, answers)
    return answers


def make_user(vm):
    vm.run(f"id {USER} >/dev/null 2>&1 || {{ useradd -m -s /bin/bash {USER}; usermod -p '*' {USER}; }}")


def serve_ssh(vm):
    """From now on root and the user may log in to this machine as either, with a key. One connection for all calls of a user to a
    user: emulated, each costs seconds."""
    make_user(vm)
    vm.run(f"""
mkdir -p /run/sshd /root/.ssh
ssh-keygen -qt ed25519 -N '' -f /root/.ssh/id_ed25519
cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys
printf 'localhost %s\\n' "$(cat /etc/ssh/ssh_host_ed25519_key.pub)" >/root/.ssh/known_hosts
printf 'ControlMaster auto\nControlPersist yes\nControlPath ~/.ssh/%%C\nKexAlgorithms curve25519-sha256\n' >/root/.ssh/config
cp -r /root/.ssh /home/{USER}/
chown -R {USER}: /home/{USER}
/usr/sbin/sshd -o UsePAM=no -o ListenAddress=127.0.0.1 -o PermitRootLogin=prohibit-password
""")


def elsewhere(words, folder):
    """What the same build's overridectl prints and returns on the machine that runs the tests, in this folder. For verbs that read a
    snapshot and nothing else."""
    assert any(word.startswith("--machine=") for word in words), words
    done = subprocess.run([os.path.join(os.environ[BUILD], "cli", "overridectl"), *words], cwd=folder, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, check=False, timeout=60,
                          env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"})
    return done.returncode, done.stdout
