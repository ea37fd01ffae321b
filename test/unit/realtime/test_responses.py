"""Responses: the simple dialect, in which a client asks for the text of what it has appended."""

import pytest
from session_harness import (
    COMMIT,
    NEW_ITEM,
    RATE,
    RESPOND,
    SessionHarness,
    append,
    expected_text,
    kinds,
    manual,
    manual_client,
    simple_client,
    speech,
    update,
)

from src.errors import QueueFull


def test_a_response_has_the_text_of_what_was_appended_and_there_is_no_other_event():
    harness = simple_client(partials=False)
    assert harness.send(append(speech(0.5))) == []
    (created,) = harness.send(RESPOND)
    assert created["type"] == "response.created"
    response = created["response"]
    assert response == {"id": response["id"], "object": "realtime.response", "status": "in_progress", "output": []}
    delta, done, ended, completed = harness.run_all()
    text = expected_text(speech(0.5))
    assert (delta["type"], delta["delta"]) == ("response.output_text.delta", text)
    assert (done["type"], done["text"]) == ("response.output_text.done", text)
    assert {delta["response_id"], done["response_id"]} == {response["id"]}
    assert ended["type"] == "response.done"
    assert ended["response"] == {
        "id": response["id"],
        "object": "realtime.response",
        "status": "completed",
        "output": [
            {
                "id": delta["item_id"],
                "object": "realtime.item",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": text}],
            }
        ],
    }
    assert completed["type"] == "response.completed"
    assert completed["response"] == ended["response"] | {"object": "response", "output_text": text}


def test_live_text_is_for_the_simple_dialect_too():
    harness = simple_client()
    deltas = harness.send(append(speech(1.0))) + harness.run_all()
    assert set(kinds(deltas)) == {"delta"}
    events = harness.send(RESPOND) + harness.run_all()
    assert all(event["type"].startswith("response.") for event in events)
    assert events[-1]["response"]["output_text"].startswith("".join(event["delta"] for event in deltas))


def test_a_beta_client_reads_beta_names_of_a_response():
    harness = SessionHarness(beta=True, partials=False)
    harness.send(update({"turn_detection": None}), append(speech(0.5)), RESPOND)
    *text, done, completed = kinds(harness.run_all())[-4:]
    assert text == ["response.text.delta", "response.text.done"]
    assert [done, completed] == ["response.done", "response.completed"]
    assert harness.received[-1]["response"]["output"][0]["content"][0]["type"] == "text"


def test_a_client_that_has_changed_the_session_reads_of_the_item_too():
    harness = simple_client(partials=False)
    harness.send(manual(), append(speech(0.5)))
    assert kinds(harness.send(RESPOND)) == [*NEW_ITEM, "response.created"]
    assert kinds(harness.run_all())[:3] == ["delta", "completed", "response.output_text.delta"]


def test_a_response_without_audio_is_empty():
    events = simple_client().send(RESPOND, RESPOND)
    one = ["response.created", "response.output_text.done", "response.done", "response.completed"]
    assert kinds(events) == one * 2
    assert events[-1]["response"]["output_text"] == ""


@pytest.mark.parametrize("final_from_stream", [False, True])
@pytest.mark.parametrize("samples", [1, 100, 1600])
def test_a_response_to_next_to_no_audio_is_no_error(samples, final_from_stream):
    harness = simple_client(final_from_stream=final_from_stream, partials=False)
    events = harness.send(append(speech(samples / RATE)), RESPOND) + harness.run_all()
    assert events[-1]["type"] == "response.completed"
    assert "error" not in kinds(events)


def test_twice_in_a_row_each_response_has_its_own_text():
    harness = simple_client(partials=False)
    harness.send(append(speech(0.5)), RESPOND, append(speech(0.3)), RESPOND)
    completed = [event["response"] for event in harness.run_all() if event["type"] == "response.completed"]
    assert [each["output_text"] for each in completed] == [expected_text(speech(0.5)), expected_text(speech(0.3))]


def test_a_response_covers_all_items_since_the_one_before():
    harness = manual_client(partials=False)
    harness.send(append(speech(0.2)), COMMIT, append(speech(0.3)), COMMIT, RESPOND)
    assert (
        harness.run_all()[-1]["response"]["output_text"] == f"{expected_text(speech(0.2))} {expected_text(speech(0.3))}"
    )


def test_a_response_that_fails_says_so_twice():
    harness = simple_client(partials=False)
    harness.send(append(speech(0.5)), RESPOND)
    done, error = harness.fail_next(QueueFull("Full."))
    assert (done["type"], done["response"]["status"]) == ("response.done", "failed")
    assert error["error"]["code"] == "queue_full"
    harness.send(append(speech(0.5)), RESPOND)
    assert harness.run_all()[-1]["type"] == "response.completed"
