# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes cpio archives ("newc") as the kernel unpacks them for its first root file system.

Own code and not the cpio program: owners and device nodes come from a tar stream or are set to root, so nothing here
needs privileges, and paths can be corrected on the way.
"""

import os
import stat

# Debian guests have a merged /usr. A *directory* entry "lib" would make the kernel delete the link /lib and all below
# it would be lost to the running system, so such paths are written where the link leads.
MERGED = ("bin", "sbin", "lib", "lib64")

# Directories of the base whose mode is not 0755; a later archive that names them must not change them.
SPECIAL_MODES = {"tmp": 0o1777, "var/tmp": 0o1777, "root": 0o700, "proc": 0o555, "sys": 0o555}


def clean(path):
    """The path as it is stored: relative, without dots, past the links of a merged /usr."""
    path = os.path.normpath("/" + path.lstrip("/")).lstrip("/")
    first, _, rest = path.partition("/")
    if first in MERGED and rest:
        path = "usr/" + path
    return path


class Writer:
    """One archive; use it as a context manager. Every entry gets an inode number of its own."""

    def __init__(self, path):
        self.out = open(path, "wb")
        self.inode = 0
        self.directories = set()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self._entry("TRAILER!!!", 0, b"", nlink=1)
            # The kernel reads several archives one after the other; each begins at a multiple of 512 here.
            self.out.write(b"\0" * (-self.out.tell() % 512))
        self.out.close()

    def _entry(self, name, mode, data=b"", uid=0, gid=0, nlink=1, mtime=0, rdev=(0, 0), stream=None, size=None):
        if mode:
            self.inode += 1
        size = len(data) if size is None else size
        raw = name.encode("utf-8", "surrogateescape") + b"\0"
        fields = (self.inode if mode else 0, mode, uid, gid, nlink, mtime, size, 0, 0, rdev[0], rdev[1], len(raw), 0)
        self.out.write(b"070701" + b"".join(b"%08X" % field for field in fields) + raw)
        self.out.write(b"\0" * (-self.out.tell() % 4))
        if stream is None:
            self.out.write(data)
        else:
            left = size
            while left:
                block = stream.read(min(left, 1 << 20))
                if not block:
                    raise EOFError(f"{name}: shorter than announced")
                self.out.write(block)
                left -= len(block)
        self.out.write(b"\0" * (-self.out.tell() % 4))

    def directory(self, path, mode=0o755, uid=0, gid=0, mtime=0):
        path = clean(path)
        if not path:
            return
        self.directories.add(path)
        self._entry(path, stat.S_IFDIR | mode, uid=uid, gid=gid, nlink=2, mtime=mtime)

    def parents(self, path):
        """Entries for the directories above path, once each, so that the kernel has somewhere to put it."""
        parts = clean(path).split("/")[:-1]
        for count in range(1, len(parts) + 1):
            above = "/".join(parts[:count])
            if above not in self.directories:
                self.directory(above, SPECIAL_MODES.get(above, 0o755))

    def file(self, path, data, mode=0o644, uid=0, gid=0, mtime=0):
        if isinstance(data, str):
            data = data.encode()
        self._entry(clean(path), stat.S_IFREG | mode, data, uid=uid, gid=gid, mtime=mtime)

    def symlink(self, path, target):
        self._entry(clean(path), stat.S_IFLNK | 0o777, target.encode("utf-8", "surrogateescape"))

    def add_tree(self, root):
        """A directory of this machine, everything owned by root."""
        for folder, names, files in os.walk(root):
            names.sort()
            for name in sorted(files) + [n for n in names if os.path.islink(os.path.join(folder, n))]:
                full = os.path.join(folder, name)
                path = os.path.relpath(full, root)
                self.parents(path)
                info = os.lstat(full)
                if stat.S_ISLNK(info.st_mode):
                    self.symlink(path, os.readlink(full))
                elif stat.S_ISREG(info.st_mode):
                    with open(full, "rb") as stream:
                        self.file(path, stream.read(), stat.S_IMODE(info.st_mode), mtime=int(info.st_mtime))
            for name in names:
                path = os.path.relpath(os.path.join(folder, name), root)
                if not os.path.islink(os.path.join(folder, name)) and clean(path) not in self.directories:
                    if clean(path) not in MERGED:
                        self.parents(path)
                        self.directory(path, SPECIAL_MODES.get(clean(path), 0o755))

    def add_tar(self, tar, divert):
        """All members of a tar stream with their owners. divert(name) may return a path of this machine: the member
        is written there and stays out of the archive."""
        for member in tar:
            name = os.path.normpath("/" + member.name).lstrip("/")
            if not name:
                continue
            common = dict(uid=member.uid, gid=member.gid, mtime=int(member.mtime))
            elsewhere = divert(name) if member.isfile() else None
            if elsewhere:
                with open(elsewhere, "wb") as out, tar.extractfile(member) as stream:
                    while block := stream.read(1 << 20):
                        out.write(block)
            elif member.isdir():
                self._entry(name, stat.S_IFDIR | member.mode, nlink=2, **common)
            elif member.issym():
                self._entry(name, stat.S_IFLNK | 0o777, member.linkname.encode("utf-8", "surrogateescape"), **common)
            elif member.islnk():
                # A hard link's data has gone by in the stream; a link by name does as well for a test guest.
                self.symlink(name, "/" + os.path.normpath("/" + member.linkname).lstrip("/"))
            elif member.isfile():
                with tar.extractfile(member) as stream:
                    self._entry(name, stat.S_IFREG | member.mode, stream=stream, size=member.size, **common)
            elif member.ischr() or member.isblk():
                kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
                self._entry(name, kind | member.mode, rdev=(member.devmajor, member.devminor), **common)
            elif member.isfifo():
                self._entry(name, stat.S_IFIFO | member.mode, **common)
