"""Birthdays, each said once per person and birthday year when the day begins where they live."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import Celebrated, Member
from services.members.operations.birthday_schedules import bounds_of, day_of, plan_after, today_of
from services.members.operations.changes import Changes
from services.members.repository import birthdays as repository
from services.members.repository.birthdays import Schedule
from services.members.settings import settings
from shared.events import MemberBirthday

__all__ = ["celebrate_birthdays"]


async def celebrate_birthdays(session: AsyncSession, *, limit: int, now: datetime | None = None) -> int:
    """Say up to `limit` birthdays whose day has begun; return how many rows were looked at.

    `now` is the database's clock unless it is given. Whoever else does the same waits for the members' locks,
    and then finds them planned for the next year.
    """
    due = await repository.due_members(session, now=now, limit=limit)
    if not due:
        return 0
    changes = await Changes.begin(session)
    await changes.lock(due)
    schedules = {each.member_id: each for each in await repository.schedules(session, changes.members)}
    looked_at = []
    for member_id in due:
        schedule = schedules[member_id]
        at = now or schedule.now
        if schedule.next_at is not None and schedule.next_at <= at:
            person = changes.person(member_id)
            of_person = [schedules[each].celebrated for each in person.person_ids]
            event = _celebrate(schedule, changes.members[member_id], person, of_person, at)
            changes.events += [event] if event else []
            looked_at.append(schedule)
    await repository.save_schedules(session, looked_at)
    await changes.save()
    return len(due)


def _celebrate(
    schedule: Schedule, member: Member, person: Member, of_person: Sequence[Celebrated], now: datetime
) -> MemberBirthday | None:
    """Judge a row that is due by what holds now, plan the next celebration, and return what is to be said.

    A person of several ids has the birthday that was said last, and celebrates it once whatever the others
    have celebrated.
    """
    if member.birthday is None or member.erased_at is not None:
        schedule.birthday_year = schedule.next_at = None
        return None
    year = schedule.birthday_year
    if year is None:
        plan_after(schedule, member, today_of(member, now))
        return None
    day = day_of(member, year)
    starts_at, ends_at = bounds_of(day, person.person_attributes["time_zone"])
    if starts_at > now:
        # Something that this hangs on has changed since it was planned, such as the program's zone.
        schedule.next_at = starts_at
        return None
    is_too_late = now >= ends_at + timedelta(days=settings().birthday_late_days)
    is_another = all(celebrated.allows(year, day) for celebrated in of_person)
    is_said = person.celebrant is member and is_another and not is_too_late
    if is_said:
        schedule.celebrated = Celebrated(year, day)
    plan_after(schedule, member, day)
    if not is_said:
        return None
    return MemberBirthday(member_id=person.id, birthday_year=year, starts_at=starts_at, ends_at=ends_at)
