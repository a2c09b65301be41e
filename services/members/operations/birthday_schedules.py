"""Keeping up when members are celebrated, whenever what that hangs on changes."""

from collections.abc import Collection, Iterable
from datetime import date, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import Member, celebration_day, next_celebration
from services.members.repository import birthdays as repository
from services.members.repository.birthdays import Schedule
from services.members.settings import settings
from shared.clock import day_bounds, zone

__all__ = ["BirthdayAllowance", "bounds_of", "day_of", "plan_after", "reschedule", "today_of"]


class BirthdayAllowance:
    """How often each member may still say another birthday; saying the first one is free."""

    def __init__(self, changes: dict[UUID, int]) -> None:
        self._changes = changes

    @classmethod
    async def of(cls, session: AsyncSession, member_ids: Collection[UUID]) -> "BirthdayAllowance":
        """Read what members have used up within 365 days."""
        return cls(await repository.changes_of_the_year(session, member_ids))

    def allows(self, member: Member, birthday: date | None) -> bool:
        """Say whether a member may have this birthday from now on, and count it if so.

        Taking a birthday away is always allowed, and saying one again afterwards is a change.
        """
        if birthday is None or birthday == member.birthday:
            return True
        used = self._changes.get(member.id, -1)
        if used >= settings().birthday_changes_per_year:
            return False
        self._changes[member.id] = used + 1
        return True


def bounds_of(day: date, time_zone: str | None) -> tuple[datetime, datetime]:
    """A member's day as instants, [start, end), in the program's zone if it is not known where they live."""
    return day_bounds(day, zone(time_zone or settings().program_time_zone))


def day_of(member: Member, year: int) -> date:
    """The day on which a member celebrates in a year."""
    assert member.birthday is not None, "who has no birthday has no schedule"
    return celebration_day(member.birthday, year, settings().leap_day_birthday)


def plan_after(schedule: Schedule, member: Member, after: date) -> None:
    """Plan a member's first celebration later than a day."""
    assert member.birthday is not None, "who has no birthday has no schedule"
    schedule.birthday_year, day = next_celebration(
        member.birthday, schedule.celebrated, after=after, leap_day=settings().leap_day_birthday
    )
    schedule.next_at = bounds_of(day, member.time_zone)[0]


async def reschedule(session: AsyncSession, members: Iterable[Member], actor: str) -> None:
    """Plan anew for members whose birthday or zone changed, and record who said another birthday.

    A zone moves the celebration that is planned and nothing else: who moves to where the day has begun
    already does not lose it.
    """
    moved = {member.id: member for member in members}
    if not moved:
        return
    said: list[tuple[UUID, bool]] = []
    changed: list[Schedule] = []
    for schedule in await repository.schedules(session, moved):
        member = moved[schedule.member_id]
        if member.birthday is None:
            if not schedule.is_known:
                continue
            schedule.birthday_year = schedule.next_at = None
        elif member.has_new_birthday:
            said.append((member.id, not schedule.is_known))
            plan_after(schedule, member, today_of(member, schedule.now))
        elif schedule.birthday_year is not None:
            schedule.next_at = bounds_of(day_of(member, schedule.birthday_year), member.time_zone)[0]
        changed.append(schedule)
    await repository.save_schedules(session, changed)
    await repository.log_changes(session, said, actor)


def today_of(member: Member, now: datetime) -> date:
    """The date at an instant where a member lives."""
    return now.astimezone(zone(member.time_zone or settings().program_time_zone)).date()
