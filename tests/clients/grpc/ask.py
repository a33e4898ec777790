"""One answer over gRPC: PYTHONPATH=proto/proto python ask.py ADDRESS MODEL QUESTION (pip install grpcio-tools)"""
import sys, grpc

protos, services = grpc.protos_and_services("understudy/v1/inference.proto")
address, model, question = sys.argv[1:4]
with grpc.insecure_channel(address) as channel:
    node = services.InferenceStub(channel)
    request = protos.GenerateRequest(prompt=question, model=model, max_tokens=16)
    for event in node.Generate(request, timeout=60):
        if event.WhichOneof("event") == "delta":
            print(event.delta.text, end="", flush=True)
