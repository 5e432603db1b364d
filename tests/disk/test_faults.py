"A mapped file that can't be read is an error, of the read that met it"
import errno, os
from pathlib import Path
import numpy as np
from conftest import fresh, linux
from tsdisk.disk import faults
from tsdisk.disk.arrays import save_array
from tsdisk.disk.basics import address_of

reads_of_others = """
    import os, threading, numpy as np
    from tsdisk.disk.array_sources import as_source
    from tsdisk.disk.arrays import open_array, save_array
    from tsdisk.disk.faults import copied_reads
    good,bad,late = (open_array(o) for o in args)
    for o in args[1:]: os.truncate(o, 10_000)
    res = []
    def other(): # Meets a fault, and raises its error
        try: as_source(bad).gather([3999])
        except OSError as e: res.append(str(e))
    def meanwhile():
        t = threading.Thread(target=other)
        t.start()
        t.join()
    def copied(arrays, read):
        try:
            with copied_reads(arrays):
                meanwhile()
                read()
        except OSError as e: res.append(str(e))
        else: res.append('fine')
    copied([good, good[::2], np.ones(3)], lambda: np.array(good))
    copied([good, iter(())], lambda: np.array(late)) # Values of a generator"""

@linux
def test_a_fault_of_another_thread_is_not_that_of_a_copy(tmp_path):
    paths = [str(tmp_path/f'{o}.npy') for o in ('good','bad','late')]
    for o in paths: save_array(o, np.ones((4000,4,256), 'f4'))
    first,mine,second,opaque = fresh(reads_of_others, *paths)
    assert 'bad.npy' in first and 'bad.npy' in second and mine == 'fine' and 'late.npy' in opaque

def test_a_fault_is_known_before_other_threads_can_read_its_zeros(monkeypatch):
    stretch = faults.MappedStretch(0, 2**20, 'r--s', 0, 1, 'x')
    known = []
    def mapped(*args): # Meanwhile, another thread still sees the file there, and forgets the fault
        known.append([*faults._faults_cache])
        faults._faults_cache.clear()
    monkeypatch.setattr(faults, '_faults_cache', [])
    monkeypatch.setattr(faults, '_mmap', mapped, raising=False)
    faults._fill_with_zeros(5000, stretch)
    assert known == [[(5000,stretch)]] and faults._faults_cache == [(5000,stretch)]

@linux
def test_what_is_mapped_at_an_address_is_found(tmp_path):
    x = save_array(tmp_path/'x.npy', np.ones((4000,4,256), 'f4'))
    stretch,stat = faults.stretch_at(address_of(x)),os.stat(x.filename)
    assert (stretch.inode, stretch.path, stretch.mode) == (stat.st_ino, str(x.filename), 'r--s')
    assert stretch.first <= address_of(x) < stretch.last and stretch.offset+address_of(x)-stretch.first == 4096
    assert faults.mapped_inode(address_of(x)) == stat.st_ino
    assert faults.mapped_inode(address_of(np.ones(3))) == 0 == faults.mapped_inode(0) and faults.stretch_at(0) is None

def test_without_a_list_of_maps_nothing_is_known(monkeypatch):
    def gone(*args, **kwargs): raise OSError('no /proc here')
    monkeypatch.setattr(Path, 'read_text', gone)
    assert faults.stretch_at(5000) is None and faults.mapped_inode(5000) == 0

def test_without_libc_faults_are_left_alone(monkeypatch):
    monkeypatch.setattr(faults, 'libc', None)
    assert not faults.handle_faults()
    with faults.mapped_reads([np.ones(3)]): assert len(faults._reads) > 0

@linux
def test_the_handler_is_installed_once():
    assert faults.handle_faults()
    former = bytes(faults._former_action)
    assert faults.handle_faults() and bytes(faults._former_action) == former

@linux
def test_a_fault_is_an_error_of_the_array_that_has_it_and_names_the_byte(tmp_path):
    said = fresh("""
        import os, numpy as np
        from tsdisk.disk.arrays import open_array, save_array
        from tsdisk.disk.faults import check_faults, handle_faults, mapped_reads
        bad,good = (save_array(args[0]/o, np.ones((4000,256))) for o in ('bad.npy','good.npy'))
        handle_faults()
        os.truncate(bad.filename, 10_000)
        res = []
        def tried(*arrays, read=True):
            try:
                with mapped_reads(arrays):
                    if read: bad[100:].sum()
            except OSError as e: res.append((e.errno, str(e)))
            else: res.append(None)
        tried(good)
        tried(bad, read=False) # It was met before
        tried(good, bad[::2], read=False)
        tried(np.ones(3), good, read=False)""", tmp_path)
    assert said[0] is None and said[3] is None
    for number,text in said[1:3]: assert number == errno.EIO and 'bad.npy' in text and 'Byte 20' in text and 'could not be read' in text
