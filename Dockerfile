# CPU image: docker build -t hifihr . && docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" hifihr predict photo.jpg
FROM python:3.11-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY constraints.txt pyproject.toml README.md LICENSE NOTICE /src/
# Only these two come from that index: its copies of their dependencies are not always the tested versions.
RUN pip install --no-cache-dir --no-deps -c /src/constraints.txt torch torchvision --index-url "$TORCH_INDEX"
COPY hifihr_cli /src/hifihr_cli
COPY hifihr_core /src/hifihr_core
RUN pip install --no-cache-dir -c /src/constraints.txt '/src[video,heic]' \
    && rm -r /src \
    && useradd --create-home --uid 1000 hand \
    && install --directory --mode=777 /data
# The home of every user, whatever `--user` says.
ENV HOME=/home/hand
USER 1000
WORKDIR /data
COPY examples/hand.jpg /tmp/
# Keeps the compiled kernels for every later container; a failed check or prediction stops the build.
RUN hifihr doctor \
    && hifihr predict /tmp/hand.jpg --refine --out /tmp/hands \
    && rm -r /tmp/hands \
    && chmod -R a+rwX "$HOME"
ENTRYPOINT ["hifihr"]
CMD ["--help"]
