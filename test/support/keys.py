"""The API keys of the tests. `conftest.py` checks that no log of the whole suite contains one."""

KEY = "sk-TestKey-5f3a9c1e7b"
OTHER_KEY = "sk-OtherKey-0d8e2b6a4c"
THIRD_KEY = "sk-ThirdKey-with.dots_and/signs+="
KEYS = (KEY, OTHER_KEY, THIRD_KEY)
