# One static binary on nothing else. Build with: docker build -t outrider .
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/sidecar ./sidecar \
 && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /out/service ./examples/service

FROM scratch AS example
COPY --from=build /out/service /service
USER 65532:65532
ENTRYPOINT ["/service"]

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/sidecar /sidecar
COPY examples/gateway.yml /etc/outrider/gateway.yml
USER 65532:65532
EXPOSE 8080 15020
ENTRYPOINT ["/sidecar"]
CMD ["ingress", "--config", "/etc/outrider/gateway.yml"]
