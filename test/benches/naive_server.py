"""A naive server to compare the service with: one route, one lock, `transcribe()` for each request.

PARAKEET_MODEL_ID=tiny PARAKEET_PORT=8001 python3 test/benches/naive_server.py
"""

import io
import os
import threading

import search_path
import soundfile
import uvicorn
from fastapi import FastAPI, UploadFile


def create_app(checkpoint: str) -> FastAPI:
    """Build the application on a `.nemo` file."""
    from nemo.collections.asr.models import ASRModel

    model = ASRModel.restore_from(checkpoint)
    model.eval()
    lock = threading.Lock()
    app = FastAPI()

    @app.get("/readyz")
    def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/v1/audio/transcriptions")
    def transcribe(file: UploadFile) -> dict[str, str]:
        samples, _ = soundfile.read(io.BytesIO(file.file.read()), dtype="float32")
        with lock:
            [result] = model.transcribe([samples], batch_size=1, verbose=False)
        return {"text": result.text}

    return app


if __name__ == "__main__":
    from src.engine.checkpoint import find_checkpoint

    path = find_checkpoint(os.environ["PARAKEET_MODEL_ID"])
    uvicorn.run(create_app(str(path)), port=int(os.environ["PARAKEET_PORT"]), log_level="warning")
