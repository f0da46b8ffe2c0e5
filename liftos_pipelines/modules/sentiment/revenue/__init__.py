"""Does sentiment go with the outcome, and with what delay? A ladder of description, prediction and dated events.

`link_series` makes the two series of a client's tables, `climb` tests every rung, `link_table` writes them down. None
of the rungs is an experiment: the words say association, prediction and "moved after", never more.
"""

from liftos_pipelines.modules.sentiment.revenue.ladder import Ladder, climb
from liftos_pipelines.modules.sentiment.revenue.plots import ladder_picture
from liftos_pipelines.modules.sentiment.revenue.report import link_table
from liftos_pipelines.modules.sentiment.revenue.series import LinkSeries, link_series, other_brands
from liftos_pipelines.modules.sentiment.revenue.settings import LinkSettings

__all__ = [
    "Ladder",
    "LinkSeries",
    "LinkSettings",
    "climb",
    "ladder_picture",
    "link_series",
    "link_table",
    "other_brands",
]
