"""What a project writes, in all public forms: mypy --strict and pyright accept it, but for each line of `misuses`.

test_types.py runs it as well, so that what the checkers are told is what happens.
"""
