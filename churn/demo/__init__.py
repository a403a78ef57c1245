"""Generator of the demo company: simulated customers and their dirty data.

``churn demo --accounts 1000 --days 365 --seed 7 --out data/demo`` writes a
landing zone of all five sources; ``churn load`` reads it. The same arguments
give the same bytes, for any number of processes.

Modules, in the order of the data flow: ``company`` (customers), ``lifecycle`` (their
moods, cancellations and restarts), ``visits`` (events in the app), ``trackers`` (event
formats), ``dirt`` and ``delivery`` (corrupted, late and duplicate records), ``batches``
(CRM, billing, support), ``truth`` (hidden state, not for models), ``generate`` (all of
them, in parallel), ``seeds`` (the small company in the repository).
"""

from churn.demo.generate import generate
from churn.demo.settings import Settings

__all__ = ["Settings", "generate"]
