"""Dates: when a schedule's runs are due, and what their date variables are.

Everything here is a pure function of the schedule and a moment that is handed in; nobody reads a clock.  Points in time
are datetimes in UTC, so that they compare and subtract as the instants they are (two datetimes of one zone compare by
the clock on the wall, which goes back once a year).  Only `RunDates` turns them into a zone's own time, for people.

    walls      times on the clock of a zone, and the instants they stand for
    ticks      the instants of a cron or interval, forwards and backwards
    schedule   `Schedule`: ticks within bounds, data intervals, what is due
    run_dates  `RunDates`: the date variables of one run
"""

from ripresa.author.dates.run_dates import RunDates
from ripresa.author.dates.schedule import Due, Schedule

__all__ = ["Due", "RunDates", "Schedule"]
