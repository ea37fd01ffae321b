"""A model of several languages: which of them the answers, the streams and the sessions name."""

from pathlib import Path

import openai_schema
import pytest
from fakes import HeldModel, clip
from realtime_client import COMPLETED, session
from running_service import Service, serving

from src.engine.model_languages import PARAKEET_V3
from src.settings import Settings
from src.text.languages import LANGUAGES
from src.text.transcript import Transcript

FILES = Path(__file__).parents[1] / "golden" / "sentences"
SENTENCES = {language: (FILES / f"{language}.txt").read_text().splitlines()[60] for language in sorted(PARAKEET_V3)}
TEXTS = [*SENTENCES.values(), "Okay."]
SHORT = len(SENTENCES)


class Polyglot(HeldModel):
    """A model that hears the text whose number the clip ends with."""

    languages = PARAKEET_V3

    def transcribe(self, batch):
        return [Transcript(TEXTS[int(number)]) for number in self._run(batch.audio)]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    settings = Settings(model_id="tiny", log_dir=tmp_path_factory.mktemp("log"), realtime_partials=False)
    with serving(settings, lambda _: Polyglot(held=False)) as running:
        yield running


def pcm(number: int) -> bytes:
    return (clip(number) * 32767).round().astype("<i2").tobytes()


def post(service: Service, number: int, **fields):
    return service.post(pcm(number), "audio/pcm", **fields)


@pytest.mark.parametrize("language", SENTENCES)
def test_each_answer_names_the_language_of_its_text(service, language):
    number = list(SENTENCES).index(language)
    plain = openai_schema.TranscriptionJson.model_validate_json(post(service, number).content)
    assert (plain.text, [each.code for each in plain.languages]) == (SENTENCES[language], [language])
    verbose = post(service, number, response_format="verbose_json")
    assert openai_schema.TranscriptionVerbose.model_validate_json(verbose.content).language == LANGUAGES[language]


def test_the_end_of_a_stream_names_it(service):
    number = list(SENTENCES).index("cs")
    done = openai_schema.events_of(post(service, number, stream="true").content)[-1]
    assert [each.code for each in done.languages] == ["cs"]
    timed = post(service, number, stream="true", response_format="verbose_json").content
    assert openai_schema.timed_events_of(timed)[-1].language == "czech"


def test_to_name_a_language_changes_neither_the_text_nor_what_was_heard(service):
    number = list(SENTENCES).index("de")
    for named in ("fr", "French", "fr-CA", "auto", "de-AT", "German"):
        answer = post(service, number, response_format="verbose_json", language=named).json()
        assert (answer["text"], answer["language"]) == (SENTENCES["de"], "german")


def test_a_word_or_two_count_as_in_the_language_that_was_asked_for(service):
    assert post(service, SHORT, language="pl").json()["languages"] == [{"code": "pl"}]
    assert post(service, SHORT, response_format="verbose_json", language="pl").json()["language"] == "polish"
    assert post(service, SHORT, response_format="verbose_json").json()["language"] == "english"


def test_only_the_languages_that_may_be_spoken_are_named(service):
    czech = list(SENTENCES).index("cs")
    assert post(service, czech, **{"languages[]": ["sk", "pl"]}).json()["languages"] == [{"code": "sk"}]
    assert post(service, SHORT, **{"languages[]": ["it", "es"]}).json()["languages"] == [{"code": "it"}]
    assert post(service, czech, **{"languages[]": ["xx"]}).json()["languages"] == [{"code": "cs"}]


def test_a_language_that_the_model_does_not_know_is_refused(service):
    answer = post(service, 0, language="ja")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "unsupported_language", "language")
    assert "mt" in error["message"]


def test_a_session_names_the_language_of_each_item_and_remembers_it_for_a_single_word(service):
    codes = list(SENTENCES)
    heard = []
    with session(service) as client:
        for number in (codes.index("el"), codes.index("sl"), SHORT, codes.index("hr")):
            client.append(pcm(number))
            client.commit()
            heard.append(client.until(COMPLETED)[-1]["languages"])
    assert heard == [[{"code": "el"}], [{"code": "sl"}], [{"code": "sl"}], [{"code": "hr"}]]


def test_a_word_in_a_session_counts_as_in_the_language_that_its_client_has_named(service):
    with session(service) as client:
        heard = {
            "transcription": {"language": "mt-MT"},
            "turn_detection": None,
            "format": {"type": "audio/pcm", "rate": 16_000},
        }
        client.send("session.update", session={"type": "transcription", "audio": {"input": heard}})
        client.append(pcm(SHORT))
        client.commit()
        assert client.until(COMPLETED)[-1]["languages"] == [{"code": "mt"}]


def test_the_page_offers_the_languages_of_the_model(service):
    page = service.http.get("/").text
    assert f'<meta name="parakeet-languages" content="{",".join(PARAKEET_V3)}">' in page
