# SPDX-License-Identifier: GPL-2.0
"""Results in the Test Anything Protocol."""


class Tap:
    def __init__(self, plan):
        self.number = 0
        self.failed = 0
        self._say("TAP version 13")
        self._say(f"1..{plan}")

    def result(self, good, name, detail=""):
        self.number += 1
        self.failed += not good
        self._say(f"{'ok' if good else 'not ok'} {self.number} - {name}")
        self.note(detail)

    def note(self, text):
        for line in text.splitlines():
            self._say(f"# {line}")

    @staticmethod
    def _say(line):
        print(line, flush=True)
