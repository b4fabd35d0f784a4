# CPU image: docker build -t hifihr . && docker run --rm -v "$PWD:/data" hifihr predict photo.jpg
FROM python:3.11-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY constraints.txt pyproject.toml README.md LICENSE NOTICE /src/
RUN pip install --no-cache-dir -c /src/constraints.txt torch torchvision --index-url "$TORCH_INDEX"
COPY hifihr_cli /src/hifihr_cli
COPY hifihr_core /src/hifihr_core
RUN pip install --no-cache-dir -c /src/constraints.txt /src \
    && rm -r /src \
    && useradd --create-home --uid 1000 hand \
    && install --directory --owner=hand /data
USER 1000
WORKDIR /data
# Compiles the renderer's kernels, so that the first prediction does not wait for them; a failed check stops the build.
RUN hifihr doctor
ENTRYPOINT ["hifihr"]
CMD ["--help"]
