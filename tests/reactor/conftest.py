"""One reactor a test file."""

from collections.abc import Iterator

import pytest
from reactor_house import House, house_in


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_in(tmp_path_factory.mktemp("house")) as made:
        made.start()
        yield made
