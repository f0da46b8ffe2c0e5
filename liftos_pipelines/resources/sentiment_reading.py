"""Who reads a client's texts: its own or the packaged model, the encoder where it helps, or a classifier it brought."""

from __future__ import annotations

from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.modules.sentiment.reading.model import ModelError
from liftos_pipelines.modules.sentiment.reading.scoring import Reading
from liftos_pipelines.resources.lake import Lake
from liftos_pipelines.resources.sentiment_encoder import open_reader
from liftos_pipelines.resources.sentiment_model import SentimentModelResource, second_identifier


def open_reading(models: SentimentModelResource, lake: Lake, client: ClientConfig) -> tuple[Reading, str | None]:
    """The reading that `sentiment` in client.yaml asks for, and why it goes without the encoder (None: it has it).

    Raises
    ------
    ModelError : the client's classifier cannot be used, naming file, field and what to mend
    """
    packaged, without = open_reader(models.get(lake, client.client), client.sentiment.encoder)
    classifier = None
    if client.sentiment.classifier != "packaged":
        from liftos_pipelines.resources.sentiment_transformer import open_transformer

        labelled = lake.read(client.client, "sources/labelled_mentions").drop_nulls(["text", "label"]).sort("text")
        try:
            classifier = open_transformer(
                client.sentiment.classifier,
                folder=client.folder,
                download=client.sentiment.download,
                labelled=(labelled["text"].to_list(), labelled["label"].to_list(), labelled["language"].to_list()),
            )
        except ModelError as error:
            raise ModelError(f"clients/{client.client}/client.yaml: sentiment.classifier: {error}") from error
    return Reading(packaged=packaged, classifier=classifier, fallback=second_identifier()), without
