"Free memory is what the system says, within the limits of control groups"
from math import inf
import pytest
from tsdisk.disk import memory
from tsdisk.disk.memory import free_memory

def cgroup(root, limit, use, cache, v1=False, shared=0):
    root.mkdir(parents=True, exist_ok=True)
    (root/('memory.limit_in_bytes' if v1 else 'memory.max')).write_text(str(limit))
    (root/('memory.usage_in_bytes' if v1 else 'memory.current')).write_text(str(use))
    (root/'memory.stat').write_text(f'anon 5\n{"total_cache" if v1 else "file"} {cache}\n{"total_" if v1 else ""}shmem {shared}\nslab 3\n')

@pytest.fixture
def system(tmp_path, monkeypatch):
    "A machine with 8 GB free, and the control groups that a test makes"
    (tmp_path/'meminfo').write_text('MemTotal: 9000000 kB\nMemAvailable:    8000000 kB\n')
    def free(line=''):
        (tmp_path/'own').write_text(line)
        monkeypatch.setattr(memory._cgroups, '__defaults__', (tmp_path/'cg', tmp_path/'own'))
        return free_memory(tmp_path/'meminfo')
    return tmp_path/'cg',free

def test_free_memory_without_control_groups(system): assert system[1]() == 8_192_000_000

def test_a_control_group_limits_memory(system):
    root,free = system
    cgroup(root/'job', 3_000_000_000, 2_500_000_000, 2_000_000_000)
    assert free('0::/job\n') == 2_500_000_000
    cgroup(root, 10**9, 10**9, 10**9)
    assert free('0::/job\n') == 10**9 # Of the parent
    cgroup(root/'open', 'max', 5, 5)
    cgroup(root, 'max', 5, 5)
    assert free('0::/open\n') == 8_192_000_000

def test_shared_memory_cannot_be_given_back(system):
    root,free = system
    cgroup(root/'job', 3_000_000_000, 2_500_000_000, 2_000_000_000, shared=1_900_000_000)
    assert free('0::/job\n') == 600_000_000

def test_a_control_group_of_the_first_version(system):
    root,free = system
    cgroup(root/'memory'/'a'/'b', 2_000_000_000, 500_000_000, 100_000_000, v1=True)
    cgroup(root/'memory', 2**63-4096, 10**10, 10**9, v1=True)
    assert free('5:cpu,cpuacct:/x\n4:memory:/a/b\n0::/\n') == 1_600_000_000

def test_a_container_sees_its_own_group_as_the_root(system):
    root,free = system
    cgroup(root, 10**9, 4*10**8, 10**8)
    assert free('0::/docker/123\n') == 7*10**8

def test_free_memory_is_unknown_where_the_system_does_not_say(system, monkeypatch):
    system[1]('')
    assert free_memory('/nowhere') == inf
