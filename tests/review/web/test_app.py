"""The gallery's first pages."""

from starlette.testclient import TestClient


def test_the_sweeps_are_listed(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert 'href="/sweep/demo"' in answer.text


def test_an_unknown_sweep_is_a_page_that_says_so(client: TestClient) -> None:
    answer = client.get("/sweep/nothing")
    assert answer.status_code == 404
    assert "there is no sweep &#39;nothing&#39; here" in answer.text
