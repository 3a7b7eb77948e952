"""What errors of a storage say to do."""

import pickle

from cluster.storage.advice import StorageError, advice_for, with_advice

REFUSED = "s3://bucket/gray: cannot be listed (InvalidAccessKeyId: no such key; ask for one)"


def test_an_error_says_what_to_do_and_keeps_the_fault_alone() -> None:
    error = StorageError(REFUSED)
    assert str(error) == with_advice(REFUSED) == f"{REFUSED}; {advice_for(REFUSED)}"
    assert error.fault == REFUSED


def test_an_error_is_the_same_in_another_process() -> None:
    error = pickle.loads(pickle.dumps(StorageError(REFUSED)))
    assert str(error) == with_advice(REFUSED)


def test_a_fault_without_advice_stands_alone() -> None:
    assert str(StorageError("disk on fire")) == "disk on fire"


def test_a_port_is_no_http_status() -> None:
    assert "permissions" in advice_for("An error occurred (403) when calling HeadObject")
    assert advice_for("http://127.0.0.1:40341 refused (NoSuchBucket)") == "create the bucket, or fix its name"
