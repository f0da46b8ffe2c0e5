"""Alembic's entry: runs migrations on the connection that `spine.migrate` hands over."""

from alembic import context

from liftos_pipelines.spine.schema import Base

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("open the database with liftos_pipelines.spine.database.Spine(url); it runs the migrations")
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
