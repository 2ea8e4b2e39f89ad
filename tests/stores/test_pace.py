from ripresa.stores.sqlite.pace import Pace


def paced(*seconds):
    pace = Pace()
    for took in seconds:
        pace.took(took)
    return pace


def test_commits_stay_on_the_loop_while_they_are_quick():
    assert Pace().is_quick()
    assert paced(*[0.0003] * 100).is_quick()


def test_a_single_hiccup_of_some_milliseconds_is_forgiven():
    assert paced(*[0.0003] * 20, 0.003).is_quick()


def test_commits_move_to_the_thread_when_the_disk_is_slow_and_back_when_it_is_not():
    pace = paced(*[0.02] * 4)
    assert not pace.is_quick()
    for _ in range(40):
        pace.took(0.0003)
    assert pace.is_quick()


def test_now_and_then_a_commit_is_tried_on_the_loop():
    """A busy interpreter makes every commit on a thread seem slow, so the average alone might never let it back."""
    pace = paced(*[0.02] * 10)
    assert [pace.is_quick() for _ in range(128)].count(True) == 2
