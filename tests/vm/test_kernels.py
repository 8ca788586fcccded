"""What takes another kernel, in a virtual machine: `./dev test vm`. Each test is a check of tests/vm/apparmor.py or
tests/vm/selinux.py, which is run in there."""

from __future__ import annotations

import pytest

from tests.vm import apparmor, selinux

Reports = dict[str, str]


def _holds(reports: Reports, name: str) -> None:
    assert not reports.get("start"), reports["start"]
    assert name in reports, "the virtual machine reports nothing of it"
    assert not reports[name], reports[name]


@pytest.mark.parametrize("name", apparmor.CHECKS)
def test_apparmor(apparmor_reports: Reports, name: str) -> None:
    """The label and all else that confines, under AppArmor and control groups of version 2 alone; Yama; no programs in
    memory."""
    _holds(apparmor_reports, name)


@pytest.mark.parametrize("name", selinux.CHECKS)
def test_selinux(selinux_reports: Reports, name: str) -> None:
    """The same under SELinux."""
    _holds(selinux_reports, name)
