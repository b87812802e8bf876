from __future__ import annotations

from engine.cache import ShardCache


def _load(cache: ShardCache, sha256: str, size: int = 10) -> memoryview:
    return cache.asset(sha256, lambda: memoryview(bytes(size)))


def test_second_use_loads_nothing() -> None:
    cache = ShardCache(100)
    assert _load(cache, "a") is _load(cache, "a")
    assert (cache.loads, sorted(cache.held()), cache.size_bytes) == (1, ["a"], 10)


def test_least_recently_used_asset_leaves_first() -> None:
    cache = ShardCache(30)
    for sha256 in ("a", "b", "c", "a", "d"):
        _load(cache, sha256)
    assert cache.held() == {"a", "c", "d"}
    assert cache.loads == 4


def test_asset_larger_than_the_limit_is_loaded_and_not_kept() -> None:
    cache = ShardCache(30)
    assert len(_load(cache, "big", 31)) == 31
    assert cache.held() == frozenset()


def test_what_was_built_goes_with_any_of_its_parents() -> None:
    cache = ShardCache(30)
    _load(cache, "a")
    _load(cache, "b")
    built = cache.built("key", ["a", "b"], object)
    assert cache.built("key", ["a", "b"], object) is built
    _load(cache, "b")
    _load(cache, "c", 20)  # "a" leaves
    assert cache.held() == {"b", "c"}
    assert cache.built("key", ["a", "b"], object) is not built


def test_nothing_is_kept_of_what_was_built_from_assets_that_are_gone() -> None:
    cache = ShardCache(30)
    assert cache.built("key", ["gone"], object) is not cache.built("key", ["gone"], object)
