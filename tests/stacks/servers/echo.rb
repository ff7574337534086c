# The echo server on gRPC for Ruby; see tests/stacks/servers/__init__.py.
require 'grpc'

$cancelled = 0

# Messages are bytes.
Raw = Struct.new(:bytes) do
  def self.encode(message) = message.bytes
  def self.decode(bytes) = new(bytes)
end

# The four methods.
class EchoService
  include GRPC::GenericService
  self.marshal_class_method = :encode
  self.unmarshal_class_method = :decode
  self.service_name = 'stack.Echo'
  rpc :Unary, Raw, Raw
  rpc :Count, Raw, stream(Raw)
  rpc :Total, stream(Raw), Raw
  rpc :Duplex, stream(Raw), stream(Raw)
end

# Does what a message asks for, or gives it back.
def obey(message, call)
  command, rest = message.bytes.byteslice(0, 1000).b.split(' ', 2)
  case command
  when 'fail'
    number, text = rest.split(' ', 2)
    raise GRPC::BadStatus.new(number.to_i, text.force_encoding('utf-8'))
  when 'wait'
    finish = Time.now + 30
    sleep 0.01 while Time.now < finish && !call.cancelled?
    $cancelled += 1 if call.cancelled?
    message
  when 'cancelled' then Raw.new($cancelled.to_s)
  when 'metadata' then Raw.new(call.metadata[rest].to_s)
  else message
  end
end

class Echo < EchoService
  def unary(message, call) = obey(message, call)

  def count(message, _call)
    number, size = message.bytes.split.map(&:to_i)
    (0...number).lazy.map { |n| Raw.new(n.to_s.ljust(size, '.')) }
  end

  def total(call)
    sum = 0
    call.each_remote_read { |message| sum += message.bytes.bytesize }
    Raw.new(sum.to_s)
  end

  def duplex(messages, call)
    Enumerator.new { |answers| messages.each { |message| answers << obey(message, call) } }
  end
end

server = GRPC::RpcServer.new(pool_size: 32, max_waiting_requests: 2000,
                             server_args: { 'grpc.max_receive_message_length' => -1, 'grpc.so_reuseport' => 0 })
server.add_http2_port("127.0.0.1:#{ARGV[0]}", :this_port_is_insecure)
server.handle(Echo)
Thread.new { $stdin.read; exit!(0) }
server.run
