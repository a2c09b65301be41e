"""Settings come from the environment, the nearest name wins, and production refuses what is not its own."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from shared.settings import DEVELOPMENT_KEY, DEVELOPMENT_SIGNING_KEY, ServiceSettings


class PointsSettings(ServiceSettings):
    service: str = "points"
    lot_days: int = 365


PRODUCTION: dict[str, Any] = {
    "profile": "production",
    "database_url": "postgresql://points:secret@database/points",
    "bus": "kafka",
    "signing_keys": ["k" * 32],
}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.startswith("REGULARS_"):
            monkeypatch.delenv(name)


def test_the_name_with_the_service_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGULARS_PORT", "9000")
    assert PointsSettings().port == 9000
    monkeypatch.setenv("REGULARS_POINTS_PORT", "9002")
    monkeypatch.setenv("REGULARS_POINTS_LOT_DAYS", "30")
    assert PointsSettings().port == 9002
    assert PointsSettings().lot_days == 30
    assert PointsSettings(port=1).port == 1


def test_secrets_come_from_files_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://from-a-file/points\n")
    monkeypatch.setenv("REGULARS_DATABASE_URL_FILE", str(file))
    settings = PointsSettings()
    assert settings.database_url.get_secret_value() == "postgresql://from-a-file/points"
    assert "from-a-file" not in repr(settings)


def test_lists_are_separated_by_commas_or_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGULARS_OIDC_ALGORITHMS", "RS256, ES384")
    monkeypatch.setenv("REGULARS_SIGNING_KEYS", '["a,b", "c"]')
    settings = PointsSettings()
    assert settings.oidc_algorithms == ["RS256", "ES384"]
    assert [key.get_secret_value() for key in settings.signing_keys] == ["a,b", "c"]


def test_the_embedded_profile_needs_nothing() -> None:
    settings = PointsSettings()
    assert settings.dev_key is not None
    assert settings.dev_key.get_secret_value() == DEVELOPMENT_KEY
    assert settings.host == "127.0.0.1"


def test_production_starts_with_its_own_secrets() -> None:
    assert PointsSettings(**PRODUCTION).dev_key is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dev_key": DEVELOPMENT_KEY}, "dev_key"),
        ({"signing_keys": [DEVELOPMENT_SIGNING_KEY]}, "signing_keys"),
        ({"signing_keys": ["k" * 32, "short"]}, "signing_keys"),
        ({"database_url": None}, "database_url"),
        ({"bus": "postgres"}, "bus_database_url"),
        ({"oidc_issuer": "https://id.test"}, "oidc_jwks_url"),
        ({"oidc_issuer": "https://id.test", "oidc_jwks_url": "https://id.test/keys"}, "oidc_audience"),
        (
            {
                "oidc_issuer": "https://id.test",
                "oidc_jwks_url": "http://id.test/keys",
                "oidc_audience": "regulars",
            },
            "https",
        ),
        ({"oidc_algorithms": ["RS256", "HS256"]}, "asymmetric"),
        ({"oidc_algorithms": ["none"]}, "asymmetric"),
    ],
)
def test_production_refuses(change: dict[str, Any], message: str) -> None:
    values = {name: value for name, value in (PRODUCTION | change).items() if value is not None}
    with pytest.raises(ValidationError, match=message):
        PointsSettings(**values)


def test_a_complaint_does_not_show_the_values() -> None:
    with pytest.raises(ValidationError) as caught:
        PointsSettings(**PRODUCTION | {"dev_key": "rk_this_is_secret"})
    assert "rk_this_is_secret" not in str(caught.value)
    assert "points:secret" not in str(caught.value)


def test_every_setting_is_described() -> None:
    undescribed = [name for name, field in ServiceSettings.model_fields.items() if not field.description]
    assert undescribed == []
