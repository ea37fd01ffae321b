"""The service behind TLS, for clients that accept nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme
from running_service import Service, serving

from src.engine.model import Model
from src.settings import Settings


@contextmanager
def serving_tls(settings: Settings, model: Model) -> Iterator[tuple[Service, Path]]:
    """Run the app on `model` as `https://localhost`; yields the service, and the file of its CA certificate."""
    authority = trustme.CA()
    certificate = settings.log_dir / "ca.pem"
    authority.cert_pem.write_to_path(certificate)
    own = settings.log_dir / "server.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(own)
    with serving(settings, lambda _: model, ssl_certfile=own) as running:
        yield running, certificate
