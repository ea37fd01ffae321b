"""Lists of keywords: which stay compiled, for whom, and how they are spelled."""

from concurrent.futures import ThreadPoolExecutor

from keyword_clips import ANNA, HENRY, texts, with_alpha, with_max_lists
from media import clip

from src.engine.decoder.packed_trees import NO_TREE
from src.settings import Settings


def test_more_lists_than_are_kept_work_one_after_another(tiny, phoned):
    model = with_max_lists(tiny, 3)
    for number in range(5):
        model.compile((f"list {'a' * number}",))
    assert texts(model, [phoned] * 2, [("Anna",), ()]) == [ANNA, HENRY]
    assert len(model._decoder._keyword_lists) == 3


def test_as_many_lists_stay_compiled_as_there_may_be_sessions(tiny):
    lists = [(f"session {number}",) for number in range(Settings().max_sessions)]
    for _ in range(2):
        for keywords in lists:
            tiny.compile(keywords)
    assert all(map(tiny.has_compiled, lists))


def test_the_list_used_last_is_kept_longest(tiny):
    model = with_max_lists(tiny, 2)
    model.compile(("one",))
    model.compile(("two",))
    model.collate([clip("piper-joe-1")], [("one",)])
    model.compile(("three",))
    assert [model.has_compiled((keyword,)) for keyword in ("one", "two", "three")] == [True, False, True]


def test_a_list_is_compiled_once_whatever_the_order_of_its_keywords(tiny):
    model = with_max_lists(tiny, 2)
    keyword_trees = model._decoder.pack_trees_for([("one", "two"), ("two", "one", "one"), (), ("one",)])
    assert (keyword_trees.tree_ids, keyword_trees.tree_count) == ((0, 0, NO_TREE, 1), 2)
    assert model.has_compiled(("two", "one"))


def test_a_batch_keeps_its_lists_whatever_is_compiled_before_it_runs(tiny, phoned):
    model = with_max_lists(tiny, 1)
    batches = [model.collate([phoned] * 2, [(name,), ()]) for name in ("Anna", "London", "Anna")]
    for number in range(5):
        model.compile((f"list {number}",))
    found = [[transcript.text for transcript in model.transcribe(batch)] for batch in batches]
    assert found == [[ANNA, HENRY], [HENRY, HENRY], [ANNA, HENRY]]


def test_one_batch_may_have_more_lists_than_are_kept(tiny, phoned):
    model = with_max_lists(tiny, 1)
    assert texts(model, [phoned] * 4, [("Anna",), ("Paris",), ("Henry",), ("Anna", "London")]) == [
        ANNA,
        HENRY,
        HENRY,
        ANNA,
    ]


def test_several_threads_may_collate_the_same_and_other_lists(tiny, phoned):
    model = with_max_lists(tiny, 2)
    lists = [("Anna",), (), ("Anna", "London"), ("Paris",)] * 3
    with ThreadPoolExecutor(4) as threads:
        batches = list(threads.map(lambda keywords: model.collate([phoned], [keywords]), lists))
    found = [model.transcribe(batch)[0].text for batch in batches]
    assert found == [ANNA, HENRY, ANNA, HENRY] * 3


def test_nothing_is_compiled_where_keywords_are_off(tiny):
    model = with_alpha(tiny, 0)
    model.compile(("Anna",))
    assert model.has_compiled(("anything",))
    assert model.collate([clip("piper-joe-1")], [("Anna",)]).keyword_trees is None
