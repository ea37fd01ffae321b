"""The service behind TLS, for clients that speak to nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme
from running_service import Service, serving, until

from src.engine.model import Model
from src.settings import Settings


@contextmanager
def serving_tls(settings: Settings, model: Model) -> Iterator[tuple[Service, Path]]:
    """Run the app on `model` as `https://localhost`: what there is of it, and its authority's certificate in a file."""
    authority = trustme.CA()
    certificate = settings.log_dir / "ca.pem"
    authority.cert_pem.write_to_path(certificate)
    own = settings.log_dir / "server.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(own)
    # The readiness probe of `serving` knows no TLS.
    with serving(settings, lambda _: model, wait=False, ssl_certfile=own) as running:
        until(lambda: running.scheduler.ready)
        yield running, certificate
