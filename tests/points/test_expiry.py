"""When points expire: calendars, zones and days that are not 24 hours long."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.points.domain import ExpiryPolicy, InvalidExpiryPolicy, expiry_of

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
ZONES = st.sampled_from(
    [
        BERLIN,
        NEW_YORK,
        *map(ZoneInfo, ("UTC", "Asia/Shanghai", "Pacific/Apia", "America/Sao_Paulo", "Africa/Cairo")),
    ]
)
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
INSTANTS = st.integers(0, 100 * 365 * 86_400).map(lambda seconds: EPOCH + timedelta(seconds=seconds))
LENGTHS = st.one_of(
    st.integers(1, 3_000).map(lambda days: f"{days}d"), st.integers(1, 100).map(lambda months: f"{months}m")
)
POLICIES = st.one_of(
    st.just("none"),
    st.tuples(st.sampled_from(["rolling", "sliding"]), LENGTHS, st.sampled_from(["", ":day_end"])).map(
        lambda parts: f"{parts[0]}:{parts[1]}{parts[2]}"
    ),
    st.sampled_from(["end_of:month", "end_of:quarter", "end_of:year"]),
    st.integers(1, 36).map(lambda months: f"end_of:year:{months}m"),
    st.dates(date(2000, 1, 1), date(2200, 1, 1)).map(lambda day: f"fixed:{day.isoformat()}"),
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("policy", "earned_at", "zone", "expires_at"),
    [
        ("rolling:365d", "2024-02-29T12:00:00Z", BERLIN, "2025-02-28T12:00:00Z"),
        pytest.param(
            "rolling:1m",
            "2026-01-31T10:00:00+01:00",
            BERLIN,
            "2026-02-28T10:00:00+01:00",
            id="31 January and a month",
        ),
        pytest.param(
            "rolling:1m",
            "2024-01-31T10:00:00+01:00",
            BERLIN,
            "2024-02-29T10:00:00+01:00",
            id="31 January and a month, in a leap year",
        ),
        ("rolling:1m:day_end", "2026-01-31T10:00:00+01:00", BERLIN, "2026-03-01T00:00:00+01:00"),
        pytest.param(
            "rolling:12m",
            "2024-02-29T10:00:00+01:00",
            BERLIN,
            "2025-02-28T10:00:00+01:00",
            id="29 February and a year",
        ),
        # The local time of day stays over a change of the clock; days of 24 hours do not.
        ("rolling:1m", "2026-03-15T10:00:00+01:00", BERLIN, "2026-04-15T10:00:00+02:00"),
        ("rolling:31d", "2026-03-15T10:00:00+01:00", BERLIN, "2026-04-15T11:00:00+02:00"),
        pytest.param(
            "rolling:1d:day_end",
            "2026-03-28T12:00:00+01:00",
            BERLIN,
            "2026-03-30T00:00:00+02:00",
            id="a day of 23 hours",
        ),
        pytest.param(
            "rolling:1d:day_end",
            "2026-10-24T12:00:00+02:00",
            BERLIN,
            "2026-10-26T00:00:00+01:00",
            id="a day of 25 hours",
        ),
        pytest.param(
            "rolling:1d:day_end",
            "2018-11-02T12:00:00-03:00",
            ZoneInfo("America/Sao_Paulo"),
            "2018-11-04T01:00:00-02:00",
            id="a day that begins at one o'clock",
        ),
        # The evening of the 31st in New York is the 1st in UTC: the program's zone decides.
        ("end_of:month", "2026-01-31T20:00:00-05:00", NEW_YORK, "2026-02-01T00:00:00-05:00"),
        ("end_of:month", "2026-02-01T01:00:00Z", ZoneInfo("UTC"), "2026-03-01T00:00:00Z"),
        ("end_of:quarter", "2026-05-10T00:00:00Z", BERLIN, "2026-07-01T00:00:00+02:00"),
        ("end_of:year", "2026-12-31T23:30:00+01:00", BERLIN, "2027-01-01T00:00:00+01:00"),
        ("end_of:year:12m", "2026-03-01T00:00:00Z", BERLIN, "2028-01-01T00:00:00+01:00"),
        ("fixed:2027-12-31", "2026-03-01T00:00:00Z", BERLIN, "2028-01-01T00:00:00+01:00"),
        ("fixed:2020-12-31", "2026-03-01T00:00:00Z", BERLIN, "2021-01-01T00:00:00+01:00"),
        ("sliding:6m:day_end", "2026-08-31T12:00:00Z", BERLIN, "2027-03-01T00:00:00+01:00"),
    ],
)
def test_points_expire_when_the_calendar_says(
    policy: str, earned_at: str, zone: ZoneInfo, expires_at: str
) -> None:
    assert expiry_of(ExpiryPolicy.parse(policy), at(earned_at), zone) == at(expires_at)


def test_points_may_live_for_ever() -> None:
    assert expiry_of(ExpiryPolicy.parse("none"), at("2026-01-01T00:00:00Z"), BERLIN) is None


@given(POLICIES)
def test_policies_are_read_as_they_are_written(written: str) -> None:
    policy = ExpiryPolicy.parse(written)
    assert policy.serialise() == written
    assert ExpiryPolicy.parse(policy.serialise()) == policy


@given(POLICIES, INSTANTS, ZONES)
def test_points_live_at_least_a_moment_and_dates_are_local_midnights(
    written: str, earned_at: datetime, zone: ZoneInfo
) -> None:
    policy = ExpiryPolicy.parse(written)
    expires_at = expiry_of(policy, earned_at, zone)
    if expires_at is None:
        assert policy.mode == "none"
        return
    assert expires_at.utcoffset() == timedelta(0)
    if policy.mode != "fixed":
        assert expires_at > earned_at
    if policy.day_end or policy.mode in ("end_of", "fixed"):
        # The moment before belongs to another local day: nothing expires in the middle of one.
        before = (expires_at - timedelta(microseconds=1)).astimezone(zone)
        assert before.date() < expires_at.astimezone(zone).date()


@given(
    st.sampled_from(["rolling", "sliding"]),
    LENGTHS,
    st.sampled_from(["", ":day_end"]),
    INSTANTS,
    INSTANTS,
    ZONES,
)
def test_what_is_earned_later_expires_no_earlier_by_more_than_the_clock_goes_back(
    mode: str, length: str, end: str, one: datetime, other: datetime, zone: ZoneInfo
) -> None:
    policy = ExpiryPolicy.parse(f"{mode}:{length}{end}")
    first, second = sorted((one, other))
    early, late = expiry_of(policy, first, zone), expiry_of(policy, second, zone)
    assert early is not None
    assert late is not None
    # A month from the repeated hour, or from the 29th to 31st of a long month, ends where it began.
    slack = timedelta(0) if policy.days or policy.day_end else timedelta(days=1)
    assert late >= early - slack


@pytest.mark.parametrize(
    "written",
    [
        "",
        "never",
        "rolling",
        "rolling:0d",
        "rolling:-1d",
        "rolling:365",
        "rolling:99999d",
        "rolling:2000m",
        "rolling:1d:2m",
        "sliding",
        "end_of:week",
        "end_of:year:5d",
        "fixed:2027-02-30",
        "fixed:20271231",
        "none:1d",
        "rolling:٣d",
    ],
)
def test_what_is_no_policy_is_refused(written: str) -> None:
    with pytest.raises(InvalidExpiryPolicy):
        ExpiryPolicy.parse(written)


def test_an_expiry_beyond_the_calendar_is_refused() -> None:
    late = datetime(9999, 6, 1, tzinfo=UTC)
    for written in ("rolling:365d", "rolling:12m", "rolling:12m:day_end", "end_of:year", "fixed:9999-12-31"):
        with pytest.raises(OverflowError):
            expiry_of(ExpiryPolicy.parse(written), late, BERLIN)
