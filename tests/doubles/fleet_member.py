"""A member of a real fleet that makes no pictures: it gives bytes at once. Python 3.9.

Stands for one with a GPU, since it is ready in a second. DEADLY, in the environment: the number of a picture
over which its process ends, as by a fault of a driver; or begin, if it ends while it loads the model.
"""

import os

from bench import crowd
from sdops_runtime.fleet import dask_engine, member, membership, piece


class Member(member.Member):
    """One with a name, a topic and no model."""

    def begin(self, topic, digest, text, sizes):
        """Has nothing to load."""
        if os.environ.get("DEADLY") == "begin":
            os._exit(1)
        return crowd.beginning(self.name, 0, batch=4)

    def make(self, topic, number, text, inputs):
        """Gives bytes for a piece's pictures."""
        items = piece.read(text).items()
        if os.environ.get("DEADLY") in {str(item.index) for item in items}:
            os._exit(1)
        self._tell(topic, {"kind": "step", "piece": number, "step": 1, "steps": 2})
        return crowd.result(self.name, items, lambda: self.name.encode(), 0.1)


if __name__ == "__main__":
    member.Member = Member
    dask_engine.work(membership.read(), 0, "cpu", 600, lambda: None)
