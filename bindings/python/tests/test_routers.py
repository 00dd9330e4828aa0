"""A router that serves a path for another one, with bpos in front: Django REST framework's, which cuts off a suffix."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, List

import django
import pytest
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.test import override_settings
from sample import EXPORT_KEY, KEY, document, record
from werkzeug.test import Client

import bpos
from bpos.wsgi import Middleware

if not settings.configured:  # once a process, whichever test comes first
    settings.configure(SECRET_KEY="of these tests alone")
django.setup()

from rest_framework.decorators import action  # type: ignore[import-untyped] # noqa: E402
from rest_framework.renderers import JSONRenderer  # type: ignore[import-untyped] # noqa: E402
from rest_framework.response import Response  # type: ignore[import-untyped] # noqa: E402
from rest_framework.routers import DefaultRouter  # type: ignore[import-untyped] # noqa: E402
from rest_framework.viewsets import ViewSet  # type: ignore[import-untyped] # noqa: E402

POLICY = {
    "scopes": [{"name": "orders:read"}, {"name": "orders:admin"}],
    "routes": [
        {"method": "GET", "path": "/orders/{id}", "scope": "orders:read"},
        {"method": "GET", "path": "/orders/export", "scope": "orders:admin"},
    ],
}


class Orders(ViewSet):  # type: ignore[misc]
    authentication_classes: List[Any] = []
    permission_classes: List[Any] = []
    renderer_classes = [JSONRenderer]

    def retrieve(self, request: Any, pk: str, format: Any = None) -> Any:
        return Response(f"order {pk}")

    @action(detail=False)  # type: ignore[misc]
    def export(self, request: Any, format: Any = None) -> Any:
        return Response("all orders")


router = DefaultRouter()
router.register("orders", Orders, basename="order")
urlpatterns = router.urls
shop = get_wsgi_application()


@pytest.fixture(autouse=True)
def project() -> Iterator[None]:
    with override_settings(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], REST_FRAMEWORK={"UNAUTHENTICATED_USER": None}):
        yield


def behind_bpos(key: str, target: str) -> str:
    reads = record(scopes=["orders:read"])
    exports = record(EXPORT_KEY, id="key_2", scopes=["orders:admin"])
    registry = bpos.Registry.from_json(document(reads, exports), policy=POLICY)
    app = Middleware(shop, registry, store=lambda environ: "yourstore")
    answer = Client(app).get(target, headers={"X-API-Key": key})
    return str(answer.json) if answer.status_code == 200 else f"{answer.status_code} {json.loads(answer.data)['code']}"


@pytest.mark.parametrize("target", ["/orders/export.json", "/orders/export.json/", "/orders/export.json?page=2"])
def test_what_the_router_serves_as_the_export_is_no_order(target: str) -> None:
    assert Client(shop).get(target).json == "all orders"  # so the router does fold
    assert behind_bpos(KEY, target) == "403 unmapped_route"
    assert behind_bpos(EXPORT_KEY, target) == "403 unmapped_route"


def test_what_the_router_serves_as_it_stands_is_served() -> None:
    assert behind_bpos(KEY, "/orders/export/") == "403 insufficient_scope"
    assert behind_bpos(EXPORT_KEY, "/orders/export/") == "all orders"
    assert behind_bpos(KEY, "/orders/17/") == "order 17"
    assert behind_bpos(KEY, "/orders/17.json") == "order 17"
