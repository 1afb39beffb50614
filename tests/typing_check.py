"""Code of an application whose callbacks have precise types. It is only checked, by mypy and pyright, and never run."""

from collections.abc import Iterator, Mapping
from uuid import UUID

from bson import ObjectId
from flask import Flask
from pymongo import MongoClient
from pymongo.collection import Collection

from flask_usage_stats import (
    Owner,
    PlatformStore,
    ProjectStore,
    UsageHistory,
    UsageRecorder,
    UsageStore,
    create_platform_blueprint,
    create_usage_blueprint,
)
from flask_usage_stats.jwt import jwt_identity, jwt_identity_from
from flask_usage_stats.openapi import openapi_document
from flask_usage_stats.protocols import Authenticate, Authorize  # noqa: TC001 # as in an application


def filter_by_team(user: str) -> dict[str, object]:
    return {"team": user}


def filter_by_id(user: int) -> dict[str, int]:
    return {"user_id": user}


def filter_by_nothing(user: str) -> None:
    """Return no filter."""


class TextStore:
    def iter_projects(self, owner: str, /) -> list[dict[str, object]]:
        return [{"_id": owner}]


class IntegerStore:
    def iter_projects(self, owner: int) -> Iterator[Mapping[str, int | str]]:
        yield {"_id": owner, "name": "blog"}


class AnyStore:
    def iter_projects(self, owner: Owner, /) -> tuple[dict[str, str], ...]:
        return ({"_id": str(owner)},)


class CountingStore:
    def iter_projects(self, owner: str, /) -> int:
        return len(owner)


def text_user() -> str | None:
    return None


def integer_user() -> int:
    return 7


def uuid_user() -> UUID | None:
    return None


def object_id_user() -> ObjectId:
    return ObjectId()


def float_user() -> float:
    return 0.5


def get_projects() -> Collection[dict[str, object]]:
    return MongoClient[dict[str, object]]().platform.projects


def get_days() -> Collection[dict[str, object]]:
    return MongoClient[dict[str, object]]().platform.usage_history


def get_project_id() -> ObjectId | None:
    return None


def build_app() -> Flask:
    app = Flask(__name__)
    stores: list[UsageStore] = [
        TextStore(),
        IntegerStore(),
        AnyStore(),
        ProjectStore(get_projects),
        ProjectStore(get_projects(), owner_filter=filter_by_team, owner_type=str),
        ProjectStore(get_projects, owner_filter=filter_by_id, owner_type=int),
        ProjectStore(get_projects, owner_filter=lambda user: {"team": {"$in": [user]}}),
    ]
    callbacks: list[Authenticate] = [
        text_user,
        integer_user,
        uuid_user,
        object_id_user,
        jwt_identity,
        jwt_identity_from("cookies"),
    ]
    for number, (store, authenticate) in enumerate(zip(stores, callbacks, strict=False)):
        app.register_blueprint(create_usage_blueprint(store, authenticate=authenticate, url_prefix=f"/{number}"))
    return app


def build_with_history(store: ProjectStore) -> tuple[Flask, list[str], dict[str, object]]:
    app = Flask(__name__)
    histories = [UsageHistory(get_days()), UsageHistory(get_days, retention_days=90)]
    for number, history in enumerate(histories):
        UsageRecorder(store, history=history).init_app(app, project_id=get_project_id)
        blueprint = create_usage_blueprint(store, authenticate=text_user, history=history, url_prefix=f"/{number}")
        app.register_blueprint(blueprint)
    return app, [history.ensure_indexes() for history in histories], openapi_document(history=True)


def may_operate() -> bool | None:
    return None


def always() -> bool:
    return True


def build_with_platform(store: ProjectStore) -> tuple[Flask, dict[str, object]]:
    app = Flask(__name__)
    stores = [PlatformStore(store), PlatformStore(store, collection=get_projects, timeout=5, max_age=0)]
    callbacks: list[Authorize] = [may_operate, always]
    for number, (platform, authorize) in enumerate(zip(stores, callbacks, strict=True)):
        blueprint = create_platform_blueprint(platform, authorize=authorize, name=f"platform{number}", url_prefix="/x")
        app.register_blueprint(blueprint)
    return app, openapi_document(platform=True)


def build_with_mistakes(store: ProjectStore) -> None:
    """Make mistakes, each of which is an error: mypy also reports a line that ignores none."""
    ProjectStore(get_projects, owner_filter=filter_by_nothing)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    create_usage_blueprint(CountingStore(), authenticate=text_user)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    create_usage_blueprint(store, authenticate=float_user)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    UsageHistory(get_days, 90)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    UsageHistory(store)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    UsageRecorder(store, history=get_days)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    create_usage_blueprint(store, authenticate=text_user, history=get_days)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    PlatformStore(get_projects())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    create_platform_blueprint(store, authorize=always)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    create_platform_blueprint(PlatformStore(store), authorize=text_user)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
