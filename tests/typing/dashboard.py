"""The dashboard: mounted with every kind of Redis and of ``authorize``."""

from arq.connections import ArqRedis, RedisSettings
from fastapi import FastAPI
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount

from arq_status import StatusClient
from arq_status.web import create_app, serve


def authorize(request: Request, action: str, job_id: str | None) -> bool:
    return action == "view" or request.headers.get("x-user") == "ann"


async def authorize_later(request: Request, action: str, job_id: str | None) -> bool:
    return job_id is not None and await request.is_disconnected()


class Team:
    """Callables that have state."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    async def __call__(self, request: Request, action: str, job_id: str | None) -> bool:
        return request.app is self.app

    def pool(self) -> ArqRedis:
        pool: ArqRedis = self.app.state.pool
        return pool


def mount(pool: ArqRedis, client: StatusClient) -> Starlette:
    """Every kind of ``redis``, and of ``authorize``."""
    team = Team(FastAPI())
    team.app.mount("/first", create_app())
    team.app.mount("/second", create_app(pool, authorize=authorize))
    team.app.mount("/third", create_app(team.pool, authorize=team))
    return Starlette(
        routes=[
            Mount("/admin", create_app(RedisSettings(), authorize=authorize_later)),
            Mount("/dsn", create_app("redis://localhost", read_only=True)),
            Mount("/plain", create_app(Redis(), title="Jobs of the shop")),
            Mount("/client", create_app(client, trusted_origins=["https://example.org"])),
            Mount("/none", create_app(None, trusted_origins={"https://example.org"})),
            Mount("/pool", create_app(lambda: pool, per_page_options=[10, 100])),
            Mount(
                "/later", create_app(lambda: client, authorize=lambda request, action, job_id: True)
            ),
            Mount("/settings", create_app(RedisSettings)),
            Mount("/app", app := create_app(lambda: "redis://localhost")),
            Mount("/same", app),
        ]
    )


def serve_alone() -> None:
    """The options of the app, and those of the server."""
    serve()
    serve("redis://localhost", host="0.0.0.0", port=0, root_path="/admin", log_level="warning")
    serve(RedisSettings(), read_only=True, authorize=authorize, title="Jobs")
    serve(trusted_origins=["https://example.org"], per_page_options=(10, 100))
