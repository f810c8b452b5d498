import hashlib
import os

import pytest

from kerazoo import store
from kerazoo.errors import UsageError
from kerazoo.store import receipts

CONTENT = b"weights" * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def fetched(make, tmp_path):
    """A model that lies in the cache, and its path there."""
    (tmp_path / "source.h5").write_bytes(CONTENT)
    entry = make((tmp_path / "source.h5").as_uri(), content=CONTENT, kind="md5")
    return entry, store.fetch(entry)


def test_the_sha256_of_what_was_fetched_is_had_without_reading_it_again(fetched, monkeypatch):
    entry, _ = fetched

    def fail(*_):
        raise AssertionError("hashed again")

    monkeypatch.setattr(receipts, "digest", fail)
    assert store.sha256_of(entry) == SHA256


def test_a_file_that_was_touched_has_no_known_sha256_until_it_is_verified(fetched):
    entry, path = fetched
    os.utime(path, (1, 1))
    assert store.sha256_of(entry) is None
    store.fetch(entry)
    assert store.sha256_of(entry) == SHA256
    path.unlink()
    assert store.sha256_of(entry) is None


def test_the_role_must_be_there_and_packaged_files_have_no_receipt(fetched, make):
    with pytest.raises(UsageError, match="no_top"):
        store.sha256_of(fetched[0], "no_top")
    assert store.sha256_of(make("package:labels/mnist.txt")) is None
