"""What errors of a storage say to do."""

import pytest

from cluster.storage.advice import advice_for, with_advice, without_advice

REFUSED = "s3://bucket/gray: cannot be listed (InvalidAccessKeyId: no such key; ask for one)"


def test_advice_can_be_taken_off_again() -> None:
    assert with_advice(REFUSED) == f"{REFUSED}; {advice_for(REFUSED)}"
    assert without_advice(with_advice(REFUSED)) == REFUSED


@pytest.mark.parametrize("kept", [5, 60, 100])
def test_advice_of_which_the_end_was_cut_off_is_taken_off(kept: int) -> None:
    assert without_advice(with_advice(REFUSED)[: len(REFUSED) + 2 + kept]) == REFUSED


@pytest.mark.parametrize("message", [REFUSED, "disk on fire; run", ""])
def test_a_message_without_advice_is_unchanged(message: str) -> None:
    assert without_advice(message) == message


def test_a_port_is_no_http_status() -> None:
    assert "permissions" in advice_for("An error occurred (403) when calling HeadObject")
    assert advice_for("http://127.0.0.1:40341 refused (NoSuchBucket)") == "create the bucket, or fix its name"
