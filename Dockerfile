# CPU image: docker build -t hifihr . && docker run --rm -v "$PWD:/data" -w /data hifihr predict photo.jpg
FROM python:3.11-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir torch torchvision --index-url "$TORCH_INDEX"
COPY pyproject.toml README.md LICENSE NOTICE /src/
COPY hifihr_cli /src/hifihr_cli
COPY hifihr_core /src/hifihr_core
RUN pip install --no-cache-dir /src && rm -r /src && useradd --create-home hand
USER hand
# Compile the renderer's kernels once, so that the first prediction does not wait for them.
RUN hifihr doctor || true
ENTRYPOINT ["hifihr"]
CMD ["--help"]
