"""The demo company: people with moods, and the dirty data they leave behind.

``python -m churn.demo --accounts 1000 --days 365 --seed 42 --out data/demo``
writes a landing zone of all five sources; ``python -m churn.load`` reads it.
The same arguments give the same bytes, whatever the number of processes.

Modules, in the order in which the data comes about: ``company`` (who the
customers are), ``lifecycle`` (how they fare), ``visits`` (what they do in the
app), ``trackers`` (how that is recorded), ``dirt`` and ``delivery`` (what
befalls the records), ``batches`` (CRM, billing, support), ``truth`` (what no
model may read), ``generate`` (all of it, in parallel), ``seeds`` (the tiny
company that is committed).
"""

from churn.demo.generate import generate
from churn.demo.settings import Settings

__all__ = ["Settings", "generate"]
