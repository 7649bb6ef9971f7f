# Not tried: this file was written on a machine without Docker. Corrections are welcome.
#
#   docker build -t lora-lab .
#   docker run --rm -v "$PWD/results:/data/results" lora-lab demo
#   docker run --rm --gpus all -v /models:/models -v "$PWD:/data" -p 7868:7868 lora-lab review --host 0.0.0.0
#
# TORCH picks the build of torch: the CPU's here; for an NVIDIA card
#   docker build --build-arg TORCH=https://download.pytorch.org/whl/cu128 -t lora-lab .

FROM python:3.11-slim AS wheel
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir hatchling && python -m hatchling build -t wheel -d /dist

FROM python:3.11-slim
ARG TORCH=https://download.pytorch.org/whl/cpu
COPY requirements.txt /tmp/requirements.txt
RUN pip install --no-cache-dir --index-url "$TORCH" "$(grep '^torch==' /tmp/requirements.txt)"
COPY --from=wheel /dist/*.whl /tmp/
RUN pip install --no-cache-dir --requirement /tmp/requirements.txt /tmp/*.whl && rm /tmp/*.whl
WORKDIR /data
VOLUME /data/results
ENTRYPOINT ["lora-lab"]
CMD ["demo"]
