"""An application on a fresh database, and the writes of a worker to fill it."""

from collections.abc import Iterator
from functools import cache

import pytest
from flask.testing import FlaskClient

from api import openapi
from api.app import create_app
from api.openapi import DocumentedApi
from api.runtime import EXTENSION
from api.streams import hub
from shared import model_types
from shared.broker import NullBroker
from shared.db.session import SessionFactory
from shared.settings import Settings
from shared.storage import Storage
from tests.api.worker_hands import WorkerWrites


@pytest.fixture(scope="package", autouse=True)
def schemas_built_once() -> Iterator[None]:
    """Reuse the component schemas of the OpenAPI document, which take most of an application's start."""
    build = openapi._component_schemas

    @cache
    def built(_model_types: tuple[str, ...]) -> openapi.JsonDict:
        return build()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openapi, "_component_schemas", lambda: built(tuple(model_types.REGISTRY)))
        yield


@pytest.fixture
def app(settings: Settings, database: SessionFactory, broker: NullBroker) -> Iterator[DocumentedApi]:
    """The API on a database with tables and no rows, and on a broker that records notifications."""
    made = create_app(settings, broker=broker)
    yield made
    made.extensions[hub.EXTENSION].close()
    made.extensions[EXTENSION].close()


@pytest.fixture
def client(app: DocumentedApi) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def worker(settings: Settings, database: SessionFactory, storage: Storage, broker: NullBroker) -> WorkerWrites:
    return WorkerWrites(settings, database, storage, broker)
