# Auricle with all its bridges. docs/containers.md says how sound comes in.
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY daemon daemon
COPY model_build model_build
RUN python -m venv /opt/auricle \
  && /opt/auricle/bin/pip install --no-cache-dir '.[mqtt,metrics,notify,web]'

FROM python:3.12-slim-bookworm
# What hears microphones, sound cards and servers of sound, and cameras.
RUN apt-get update \
  && apt-get install -y --no-install-recommends libportaudio2 libasound2-plugins pipewire-alsa ffmpeg \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --system --uid 10001 --groups audio --no-create-home auricle \
  && install -d -o auricle -g auricle -m 700 /var/lib/auricle
COPY --from=build /opt/auricle /opt/auricle
ENV PATH=/opt/auricle/bin:$PATH STATE_DIRECTORY=/var/lib/auricle
VOLUME /var/lib/auricle
USER auricle
# Whoever is told 0 is heard; a source that is lost, or a daemon that is away, is not well.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["auricle", "status"]
ENTRYPOINT ["auricle"]
CMD ["run"]
