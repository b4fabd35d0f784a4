import threading

import pytest
import torch

from hifihr_core.machine import device
from hifihr_core.machine.device import one_thread, side_by_side


@pytest.mark.parametrize("cores", [1, 3])
def test_work_side_by_side_answers_in_order_and_records_no_gradients(
    cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "usable_cores", lambda: cores)
    weight, names = torch.ones(1, requires_grad=True), set()

    def work(number: int) -> torch.Tensor:
        names.add(threading.current_thread().name)
        return weight * number

    with one_thread():
        answers = side_by_side(work, range(8))
    assert [int(answer) for answer in answers] == list(range(8))
    assert not any(answer.requires_grad for answer in answers)
    assert (threading.current_thread().name in names) == (cores == 1)


def test_threads_of_work_side_by_side_use_one_thread_of_torch_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "usable_cores", lambda: 2)
    with one_thread():
        assert side_by_side(lambda _: torch.get_num_threads(), range(4)) == [1] * 4


def test_an_error_of_one_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "usable_cores", lambda: 2)
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda number: 1 / number, range(3))
